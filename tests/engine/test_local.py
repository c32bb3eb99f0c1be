"""The local engine on a tiny checkpoint: batches, streams, limits of replies, dtypes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

import valley
from model.pictures import picture
from valley import Budget, Sampling
from valley.chat import Chat
from valley.engine.local import LocalEngine
from valley.engine.placing import resolve_dtype
from valley.media.video import Clip
from valley.types import Request, Video

SHORT = Sampling(max_new_tokens=10)
SMALL = Budget(max_pixels=28 * 28 * 16)


@pytest.fixture(scope="module")
def chat(tiny_valley2_5: Path) -> Chat:
    torch.set_num_threads(1)
    return valley.load(tiny_valley2_5, device="cpu")


def clip(seed: int, frames: int) -> Clip:
    pictures = tuple(picture(seed + i, 84, 56) for i in range(frames))
    return Clip(pictures, tuple(float(i) for i in range(frames)), "clip", float(frames), frames)


@pytest.fixture(scope="module")
def mixed(chat: Chat) -> list[Request]:
    """Eight requests: words, one picture, several, clips, a long and a short conversation."""
    wide, tall = picture(1, 200, 60), picture(2, 60, 200)
    ask = chat.request
    return [
        ask("Hello"),
        ask("What is this?", wide, budget=SMALL),
        ask("Compare.", wide, tall, budget=SMALL),
        ask("What happens?", Video(clip(3, 4)), budget=SMALL),
        ask("And?", tall, history=[("Hi", "Hello."), ("Ready?", "Yes.")], budget=SMALL),
        ask("Count.", system="Answer with one word.", budget=SMALL),
        ask("First the picture, then the clip.", wide, Video(clip(9, 2)), budget=SMALL),
        ask("Why?", tall, style="published"),
    ]


def test_a_batch_of_mixed_requests_equals_single_runs(chat: Chat, mixed: list[Request]) -> None:
    single = [next(chat.engine.run([request], SHORT)) for request in mixed]
    batch = list(chat.engine.run(mixed, SHORT))
    assert [reply.token_ids for reply in batch] == [reply.token_ids for reply in single]
    assert [reply.usage for reply in batch] == [reply.usage for reply in single]
    assert len({reply.token_ids for reply in batch}) > 4, "the requests must differ to prove it"


def test_run_keeps_order_and_reads_ahead_only_a_window(chat: Chat, mixed: list[Request]) -> None:
    engine = LocalEngine(chat.engine.model, chat.processor, batch_size=2)
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield mixed[asked % 3]

    replies = engine.run(endless(), Sampling(max_new_tokens=2))
    first = [next(replies).usage.prompt_tokens for _ in range(3)]
    assert asked <= 8, "four batches of two"
    expected = [len(chat.processor.encode(mixed[i % 3]).input_ids) for i in (1, 2, 3)]
    assert first == expected


def test_a_stream_is_the_reply_in_pieces(chat: Chat, mixed: list[Request]) -> None:
    whole = next(chat.engine.run([mixed[1]], SHORT))
    stream = chat.engine.stream(mixed[1], SHORT)
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            assert end.value == whole
            break
    assert "".join(pieces) == whole.raw
    assert len(pieces) > 2


def test_closing_a_stream_ends_the_decoding(chat: Chat) -> None:
    stream = chat.stream("Hello", max_new_tokens=4000)
    next(stream)
    stream.close()  # would take minutes if decoding went on


def test_an_error_while_streaming_reaches_the_reader(chat: Chat, monkeypatch: Any) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the device went away")

    monkeypatch.setattr(chat.engine.model, "generate", broken)
    with pytest.raises(RuntimeError, match="went away"):
        list(chat.stream("Hello"))


def test_a_loop_stops_with_its_reason(tiny_valley2_5: Path) -> None:
    """A head that prefers one token whatever it reads."""
    chat = valley.load(tiny_valley2_5, device="cpu")
    chat.engine.model.lm_head.weight.data.zero_()
    reply = chat.ask("Hello", max_new_tokens=600)
    assert reply.finish_reason == "repetition"
    assert 96 <= reply.usage.completion_tokens < 200


def test_why_a_reply_ended(chat: Chat) -> None:
    cut = chat.ask("Hello", max_new_tokens=3)
    assert (cut.finish_reason, cut.usage.completion_tokens) == ("length", 3)
    word = chat.ask("Hello", max_new_tokens=6).raw[4:8]
    stopped = chat.ask("Hello", max_new_tokens=6, stop=(word,))
    assert stopped.finish_reason == "stop"
    assert word not in stopped.raw


def test_the_end_token_ends_a_reply_whatever_generation_config_says(chat: Chat) -> None:
    closing = chat.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert closing in chat.engine.stop_ids


def test_a_reply_goes_on_from_its_prefix(chat: Chat) -> None:
    plain, processor = (
        chat.request("Which?", picture(1, 60, 60), budget=SMALL),
        chat.engine.processor,
    )
    prefix = "Best option:(<|im_end|>"
    begun = replace(plain, prefix=prefix)
    ids = processor.encode(plain).input_ids + processor.encode_text(prefix)
    assert processor.encode(begun).input_ids == ids
    alone, others = chat.engine.run([plain], SHORT), chat.engine.run([begun, plain], SHORT)
    reply, beside = others
    assert beside.token_ids == next(alone).token_ids != reply.token_ids
    assert reply.usage.prompt_tokens == len(ids)
    with pytest.raises(ValueError, match="prefix: drop it"):
        processor.encode(replace(begun, style="published"))


def test_sampling_is_seeded(chat: Chat) -> None:
    def sample(seed: int) -> tuple[int, ...]:
        return chat.ask("Hello", max_new_tokens=8, temperature=1.0, seed=seed).token_ids

    state = torch.get_rng_state()
    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert torch.equal(state, torch.get_rng_state()), "the caller's random state is left alone"


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (4000, 3000)])
def test_any_size_is_answered(chat: Chat, size: tuple[int, int]) -> None:
    reply = chat.ask("What is this?", Image.new("RGB", size, "teal"), max_new_tokens=2)
    assert reply.usage.completion_tokens == 2
    assert 1 <= reply.usage.visual_tokens <= 1280


def test_bfloat16_answers(tiny_valley2_5: Path) -> None:
    chat = valley.load(tiny_valley2_5, device="cpu", dtype="bfloat16")
    assert chat.engine.model.dtype == torch.bfloat16
    assert chat.ask("Hello", picture(1, 60, 60), max_new_tokens=2).usage.completion_tokens == 2
    frequencies = chat.engine.model.model.language_model.rotary_emb.inv_freq
    assert frequencies.dtype == torch.float32, "positions stay exact"


def test_float16_on_a_cpu_is_honoured_with_one_warning(tiny_valley2_5: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert resolve_dtype(tiny_valley2_5, "cpu", "float16") == torch.float16
        assert resolve_dtype(tiny_valley2_5, "cuda", "float16") == torch.float16
        assert resolve_dtype(tiny_valley2_5, "cpu", "bfloat16") == torch.bfloat16
    assert [str(item.message)[:7] for item in caught] == ["float16"]


def test_the_checkpoints_own_float16_becomes_float32_on_a_cpu(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"torch_dtype": "float16"}')
    assert resolve_dtype(tmp_path, "cpu", None) == torch.float32
    assert resolve_dtype(tmp_path, "cuda", None) == torch.float16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int3"}, "float32, bfloat16"),
        ({"attention": "flash_attention_2"}, "flash_attention_2"),
    ],
)
def test_what_cannot_be_had_is_said(
    tiny_valley2_5: Path, options: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        valley.load(tiny_valley2_5, device="cpu", **options)


def test_eager_attention_gives_the_same_tokens(chat: Chat, tiny_valley2_5: Path) -> None:
    eager = valley.load(tiny_valley2_5, device="cpu", attention="eager")
    assert eager.engine.model.config._attn_implementation == "eager"
    question = ("What is this?", picture(4, 90, 60))
    assert (
        eager.ask(*question, max_new_tokens=8).token_ids
        == chat.ask(*question, max_new_tokens=8).token_ids
    )


def test_device_map_is_respected(chat: Chat, tiny_valley2_5: Path, tmp_path: Path) -> None:
    """Spread over memory and disk, the model answers the same."""
    places = {
        "model.vision_tower": "cpu",
        "model.vision_connector": "disk",
        "model.language_model": "cpu",
        "lm_head": "cpu",
    }
    model = AutoModelForImageTextToText.from_pretrained(
        tiny_valley2_5, dtype=torch.float32, device_map=places, offload_folder=tmp_path
    )
    assert model.hf_device_map == places
    spread = Chat(LocalEngine(model, chat.processor), chat.processor, chat.planner)
    question = ("What is this?", picture(4, 90, 60))
    assert spread.ask(*question, max_new_tokens=4) == chat.ask(*question, max_new_tokens=4)
