"""Rows join and leave a running batch without changing what the others say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage

from valley.encoding import Encoded
from valley.engine.features import FeatureCache
from valley.engine.local import LocalEngine
from valley.engine.running import Filling, Rows
from valley.model.files import NANO
from valley.schema import schema_text
from valley.types import Image, Message, Request, Sampling

MEDIA = Path(__file__).parents[2] / "examples" / "media"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    torch.set_num_threads(1)
    return LocalEngine.from_checkpoint(NANO, device="cpu", dtype="float32")


def encode(engine: LocalEngine, text: str, *pictures: PILImage.Image) -> Encoded:
    parts = [Image(picture) for picture in pictures]
    return engine.processor.encode(Request((Message.of("user", *parts, text),)))


def prompt(engine: LocalEngine, cache: FeatureCache, encoded: Encoded) -> torch.Tensor:
    features = cache.of([encoded]) if encoded.plans else None
    return engine.model.model.embed(torch.tensor([encoded.input_ids]), features)[0].detach()


@pytest.fixture(scope="module")
def prompts(engine: LocalEngine) -> list[torch.Tensor]:
    card = PILImage.open(MEDIA / "card.png").convert("RGB")
    cache = FeatureCache(engine.model)
    asked = [("Hello",), ("What is the price?", card), ("How many words are in here?",)]
    return [prompt(engine, cache, encode(engine, *item)) for item in asked]


def alone(engine: LocalEngine, embedded: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """Logits of a greedy reply, computed again from all ids at every step, without a cache."""
    found, ids = [], []
    table = engine.model.get_input_embeddings()
    for _ in range(steps):
        more = table(torch.tensor(ids, dtype=torch.long))
        whole = torch.cat([embedded, more])[None]
        with torch.inference_mode():
            found.append(engine.model(inputs_embeds=whole).logits[0, -1].float())
        ids.append(int(found[-1].argmax()))
    return found


def filled(
    engine: LocalEngine, prompts: list[torch.Tensor], tokens: int
) -> tuple[Filling, torch.Tensor]:
    filling = Filling(prompts)
    while (logits := filling.advance(engine.model, tokens)) is None:
        pass
    return filling, logits


@pytest.mark.parametrize("tokens", [1000, 64, 7])
def test_prompts_filled_in_pieces_give_the_logits_of_whole_ones(engine, prompts, tokens) -> None:
    _, logits = filled(engine, prompts, tokens)
    for row, embedded in zip(logits, prompts, strict=True):
        assert torch.allclose(row, alone(engine, embedded, 1)[0], atol=TOLERANCE)


def test_rows_come_and_go(engine, prompts) -> None:
    expected = [alone(engine, item, 6) for item in prompts]
    rows, logits = Rows(), {}
    first, logits[0] = filled(engine, prompts[:1], 512)
    rows.join(first)
    living, steps = [0], {0: 0, 1: 0, 2: 0}
    current = [logits[0][0]]
    for turn in range(8):
        if turn == 2:
            others, more = filled(engine, prompts[1:], 100)
            rows.join(others)
            living += [1, 2]
            current = [*current, *more]
        for row, number in enumerate(living):
            assert torch.allclose(current[row], expected[number][steps[number]], atol=TOLERANCE)
            steps[number] += 1
        kept = [row for row, number in enumerate(living) if steps[number] < 6]
        rows.take(kept)
        current, living = [current[row] for row in kept], [living[row] for row in kept]
        if living:
            current = list(rows.step(engine.model, [int(item.argmax()) for item in current]))
    assert steps == {0: 6, 1: 6, 2: 6}


def test_columns_that_nobody_needs_are_given_back(engine, prompts) -> None:
    rows, _ = filled(engine, prompts, 512)
    assert rows.mask.shape[1] == max(map(len, prompts))
    rows.take([0])
    assert rows.mask.shape == (1, len(prompts[0]))
    assert rows.cache.layers[0].keys.shape[2] == len(prompts[0])
    rows.take([])
    assert len(rows) == 0


def test_one_row_may_become_several(engine, prompts) -> None:
    rows, logits = filled(engine, prompts[1:2], 512)
    rows.take([0, 0, 0])
    token = int(logits[0].argmax())
    after = rows.step(engine.model, [token] * 3)
    assert torch.allclose(after[0], after[2], atol=TOLERANCE)
    assert torch.allclose(after[0], alone(engine, prompts[1], 2)[1], atol=TOLERANCE)


def test_the_towers_see_a_picture_once(engine, monkeypatch) -> None:
    card = PILImage.open(MEDIA / "card.png").convert("RGB")
    other = card.rotate(180)
    calls = []
    real = engine.model.model.get_image_features

    def counting(**inputs):
        calls.append(len(inputs["image_grid_thw"]))
        return real(**inputs)

    monkeypatch.setattr(engine.model.model, "get_image_features", counting)
    cache = FeatureCache(engine.model)
    first = cache.of([encode(engine, "What is the price?", card)])
    again = cache.of([encode(engine, "What is the title?", card)])
    assert calls == [1]
    assert torch.equal(first[0], again[0])
    both = cache.of([encode(engine, "Compare", other, card, other)])
    assert calls == [1, 1]
    assert torch.equal(both[0], both[2])
    assert torch.equal(both[1], first[0])
    assert (cache.hits, cache.misses) == (2, 3) or (cache.hits, cache.misses) == (3, 2)


def test_features_take_bounded_memory(engine) -> None:
    card = PILImage.open(MEDIA / "card.png").convert("RGB")
    size = FeatureCache(engine.model).of([encode(engine, "a", card)])[0].nbytes
    cache = FeatureCache(engine.model, max_bytes=2 * size)
    for angle in (0, 1, 2, 3):
        cache.of([encode(engine, "a", card.rotate(angle))])
        assert cache.size <= 2 * size
    cache.of([encode(engine, "a", card.rotate(3))])
    cache.of([encode(engine, "a", card.rotate(0))])
    assert (cache.hits, cache.misses) == (1, 5)


def test_a_schema_is_followed_by_every_row(engine) -> None:
    only = {"type": "object", "properties": {"a": {"enum": ["x", "yy"]}}, "required": ["a"]}
    schema = schema_text(only | {"additionalProperties": False})
    requests = [Request((Message.of("user", text),)) for text in ("Hello", "What is it?")]
    replies = list(engine.run(requests, Sampling(max_new_tokens=40, schema=schema)))
    assert {reply.text for reply in replies} <= {'{"a":"x"}', '{"a":"yy"}'}
    assert {reply.finish_reason for reply in replies} == {"stop"}


def test_tags_in_a_reply_of_a_schema_are_words(engine) -> None:
    schema = schema_text({"enum": ["<answer>x</answer>"]})
    asked = [Request((Message.of("user", "Hello"),))]
    (reply,) = engine.run(asked, Sampling(max_new_tokens=40, schema=schema))
    assert (reply.text, reply.thinking) == ('"<answer>x</answer>"', None)
