"""The tiny model: padding, batches, cache, generation with pictures, gradients, mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText

from model.pictures import picture
from valley.encoding import Encoded
from valley.processing import ValleyProcessor

NEW = 6
GREEDY = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW}


def logits_of(model: Any, batch: Any) -> Tensor:
    with torch.no_grad():
        return model(**batch).logits


def replies(model: Any, batch: Any, **options: Any) -> Tensor:
    torch.manual_seed(0)
    sequences = model.generate(**batch, **{**GREEDY, **options})
    return sequences[:, batch["input_ids"].shape[1] :]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_equals_singles(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded], side: str
) -> None:
    batch = tiny_processor.collate(encoded, padding_side=side)
    together = logits_of(tiny_model, batch)
    for row, item in enumerate(encoded):
        alone = logits_of(tiny_model, tiny_processor.collate([item]))[0]
        kept = together[row][batch["attention_mask"][row].bool()]
        assert (kept - alone).abs().max() <= 1e-4


def test_greedy_batch_equals_single(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    together = replies(tiny_model, tiny_processor.collate(encoded))
    alone = [replies(tiny_model, tiny_processor.collate([item]))[0] for item in encoded]
    assert together.tolist() == [row.tolist() for row in alone]
    assert len({tuple(row) for row in together.tolist()}) == len(encoded)


def test_cache_equals_no_cache(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate(encoded)
    options = {"return_dict_in_generate": True, "output_logits": True, **GREEDY}
    runs = [tiny_model.generate(**batch, use_cache=use, **options) for use in (True, False)]
    assert runs[0].sequences.tolist() == runs[1].sequences.tolist()
    for cached, computed in zip(runs[0].logits, runs[1].logits, strict=True):
        assert (cached - computed).abs().max() <= 1e-4


def test_generation_equals_forward_on_its_own_reply(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate([encoded[0]])
    reply = replies(tiny_model, batch)
    whole = dict(batch)
    whole["input_ids"] = torch.cat([batch["input_ids"], reply], 1)
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    best = logits_of(tiny_model, whole)[0, -NEW - 1 : -1]
    eos = tiny_model.generation_config.eos_token_id
    best[:, eos] = -torch.inf  # min_new_tokens forbids them
    assert best.argmax(-1).tolist() == reply[0].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"num_return_sequences": 2, "do_sample": True, "temperature": 2.0},
        {"num_beams": 2},
        {"num_beams": 3, "num_return_sequences": 2},
    ],
    ids=["sampled twice", "beams", "beams returned"],
)
def test_more_than_one_sequence_with_pictures(
    tiny_model: Any,
    tiny_processor: ValleyProcessor,
    encoded: list[Encoded],
    options: dict[str, Any],
) -> None:
    """Equal to generation from embeddings merged beforehand, where no picture can go astray."""
    batch = tiny_processor.collate(encoded)
    with torch.no_grad():
        features = tiny_model.model.get_image_features(
            batch["pixel_values"], image_grid_thw=batch["image_grid_thw"]
        ).pooler_output
        merged = tiny_model.model.embed(batch["input_ids"], features)
    torch.manual_seed(0)
    expected = tiny_model.generate(
        inputs_embeds=merged, attention_mask=batch["attention_mask"], **{**GREEDY, **options}
    )
    got = replies(tiny_model, batch, **options)
    assert got.tolist() == expected.tolist()
    assert len(got) == 3 * options.get("num_return_sequences", 1)


def test_pictures_change_the_reply(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate([encoded[0]])
    before = logits_of(tiny_model, batch)[0, -1]
    batch["pixel_values"] = -batch["pixel_values"]
    assert (logits_of(tiny_model, batch)[0, -1] - before).abs().max() > 1e-2


def test_sdpa_equals_eager(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded], tiny_valley2_5: Any
) -> None:
    eager = AutoModelForImageTextToText.from_pretrained(
        tiny_valley2_5, dtype=torch.float32, attn_implementation="eager"
    )
    assert tiny_model.config._attn_implementation == "sdpa"
    assert eager.model.vision_tower.config._attn_implementation == "eager"
    assert eager.model.language_model.config._attn_implementation == "eager"
    batch = tiny_processor.collate(encoded)
    kept = batch["attention_mask"].bool()
    difference = logits_of(tiny_model, batch)[kept] - logits_of(eager, batch)[kept]
    assert difference.abs().max() <= 1e-4


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_part(
    own_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded], checkpointing: bool
) -> None:
    own_model.train()
    if checkpointing:
        own_model.gradient_checkpointing_enable()
    batch = tiny_processor.collate([encoded[0]])
    own_model(**batch, labels=batch["input_ids"]).loss.backward()
    parts = {
        "tower": own_model.model.vision_tower,
        "connector": own_model.model.vision_connector,
        "decoder": own_model.model.language_model,
        "head": own_model.lm_head,
    }
    for name, part in parts.items():
        for tensor, parameter in part.named_parameters():
            assert parameter.grad is not None, f"{name} {tensor}"
            assert parameter.grad.abs().max() > 0, f"{name} {tensor}"


def test_the_loss_ignores_what_has_no_label(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate([encoded[2]])
    labels = batch["input_ids"].clone()
    labels[:, :-3] = -100
    with torch.no_grad():
        output = tiny_model(**batch, labels=labels)
    expected = torch.nn.functional.cross_entropy(output.logits[0, -4:-1], labels[0, -3:])
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_logits_to_keep(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate([encoded[0]])
    whole = logits_of(tiny_model, batch)
    with torch.no_grad():
        last = tiny_model(**batch, logits_to_keep=1).logits
    assert last.shape[1] == 1
    assert (last[:, 0] - whole[:, -1]).abs().max() <= 1e-4


def test_features_are_split_by_picture(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate(encoded)
    plans = [plan for item in encoded for plan in item.plans]
    with torch.no_grad():
        features = tiny_model.model.get_image_features(
            batch["pixel_values"], image_grid_thw=batch["image_grid_thw"]
        ).pooler_output
    assert [len(item) for item in features] == [plan.num_tokens for plan in plans]
    single = tiny_processor.collate([encoded[2]])
    with torch.no_grad():
        (alone,) = tiny_model.model.get_image_features(
            single["pixel_values"], image_grid_thw=single["image_grid_thw"]
        ).pooler_output
    assert (alone - features[2]).abs().max() <= 1e-4


def test_pixels_without_their_grid(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded]
) -> None:
    batch = tiny_processor.collate([encoded[0]])
    with pytest.raises(ValueError, match=r"pixel_values .* without image_grid_thw"):
        tiny_model(input_ids=batch["input_ids"], pixel_values=batch["pixel_values"])


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_placeholders(
    tiny_model: Any, tiny_processor: ValleyProcessor, encoded: list[Encoded], change: int
) -> None:
    batch = tiny_processor.collate([encoded[0]])
    pad, ids = tiny_processor.image_token_id, batch["input_ids"]
    count = int((ids == pad).sum())
    if change < 0:
        ids[0, (ids[0] == pad).nonzero()[0]] = 0
    else:
        ids[0, -1] = pad
    with pytest.raises(ValueError, match=rf"{count + change} image placeholders.*make {count} "):
        logits_of(tiny_model, batch)


def published(processor: ValleyProcessor, pictures: int, **options: Any) -> Any:
    record = {
        "conversations": [{"role": "user", "content": "Compare"}],
        "images": [picture(i, 56 + 28 * i, 84) for i in range(pictures)],
    }
    return processor(record, **options)


def test_published_sentinels_equal_placeholders(
    tiny_model: Any, tiny_processor: ValleyProcessor
) -> None:
    inputs = published(tiny_processor, 2)
    names = ("input_ids", "pixel_values", "image_grid_thw", "image_sizes", "images")
    call = {name: inputs[name] for name in names}
    reply = tiny_model.generate(**call, **GREEDY)
    assert reply[:, : inputs["input_ids"].shape[1]].tolist() == inputs["input_ids"].tolist()
    counts = iter((inputs["image_grid_thw"].prod(-1) // 4).tolist())
    ids = [
        number
        for original in inputs["input_ids"][0].tolist()
        for number in (
            [tiny_processor.image_token_id] * next(counts) if original == -200 else [original]
        )
    ]
    expanded = {**call, "input_ids": torch.tensor([ids])}
    expanded["attention_mask"] = torch.ones_like(expanded["input_ids"])
    for name in ("images", "image_sizes"):
        del expanded[name]
    assert (
        replies(tiny_model, expanded).tolist() == reply[:, inputs["input_ids"].shape[1] :].tolist()
    )
    with torch.no_grad():
        left, right = tiny_model(**call).logits, tiny_model(**expanded).logits
    assert (left - right).abs().max() <= 1e-4


def test_published_sentinels_and_pictures_must_agree(
    tiny_model: Any, tiny_processor: ValleyProcessor
) -> None:
    inputs = published(tiny_processor, 2)
    with pytest.raises(ValueError, match="no pixel_values"):
        tiny_model(input_ids=inputs["input_ids"])
    ids = inputs["input_ids"].clone()
    ids[ids == -200] = 0
    ids[0, -1] = -200
    pictures = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    with pytest.raises(ValueError, match=r"1 pictures \(-200\), 2 were passed"):
        tiny_model(input_ids=ids, **pictures)
