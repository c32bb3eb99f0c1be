"""Samples are measured from headers, shortened by whole turns, skipped by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from train.conftest import sample
from valley.train.examples import Examples
from valley.train.preference import both_replies
from valley.train.sft import whole
from valley.types import Image, Message, Sample


@pytest.fixture
def examples(tiny_processor: Any) -> Examples:
    return Examples(tiny_processor, whole, 200)


def test_measured_equals_loaded(examples: Examples, tmp_path: Path) -> None:
    for number in range(4):
        size = examples.measure(sample(number, tmp_path))
        (encoded,) = examples.load(sample(number, tmp_path))
        assert size is not None
        assert size.length == len(encoded.input_ids)
        assert size.visual == encoded.usage.visual_tokens > 0
        assert size.learnt == sum(label != -100 for label in encoded.labels[1:])


def test_a_clip_is_measured_without_its_pixels(examples: Examples, clip: Path) -> None:
    item = Sample(
        (
            Message.from_dict({"role": "user", "content": [{"type": "video", "video": str(clip)}]}),
            Message.of("assistant", "left"),
        )
    )
    wide = Examples(examples.encoder, whole, 10_000)
    size = wide.measure(item)
    (encoded,) = wide.load(item)
    assert size is not None
    assert (size.length, size.visual) == (len(encoded.input_ids), encoded.usage.visual_tokens)


@pytest.fixture
def clip() -> Path:
    return Path(__file__).parents[2] / "examples/media/clip.mp4"


def test_a_long_conversation_loses_whole_turns(examples: Examples, tmp_path: Path) -> None:
    first = sample(0, tmp_path)
    turns = [*first.messages]
    for number in range(30):
        turns += [Message.of("user", f"And {number}?"), Message.of("assistant", "No, it is not.")]
    long = Sample(tuple(turns), "long")
    size = examples.measure(long)
    (encoded,) = examples.load(long)
    assert size is not None
    assert 150 < size.length <= 200
    assert size.length == len(encoded.input_ids)
    text = examples.encoder.tokenizer.decode(encoded.input_ids)
    assert text.rstrip().endswith("No, it is not.<|im_end|>")
    assert examples.skipped.total == 0


def test_one_turn_that_is_too_long_is_skipped_by_name(examples: Examples) -> None:
    long = Sample((Message.of("user", "word " * 400), Message.of("assistant", "Yes.")), "huge")
    assert examples.measure(long) is None
    assert "too long" in str(examples.skipped)
    assert "huge" in str(examples.skipped)


def test_broken_media_are_counted_and_named(examples: Examples, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    sample(0, tmp_path)
    cut.write_bytes((tmp_path / "0.png").read_bytes()[:70])
    question = Message.of("user", Image(str(cut)), "What?")
    broken = Sample((question, Message.of("assistant", "a")), "cut")
    missing = Sample(
        (Message.of("user", Image(str(tmp_path / "no.png")), "What?"), question), "missing"
    )
    assert examples.measure(broken) is not None  # the header is whole
    assert examples.load(broken) == []
    assert examples.measure(missing) is None
    assert examples.skipped.total == 2
    assert "cut" in str(examples.skipped)
    assert "missing" in str(examples.skipped)


def test_a_sample_that_teaches_nothing_is_skipped(examples: Examples) -> None:
    assert examples.measure(Sample((Message.of("user", "Hello?"),), "mute")) is None
    assert "nothing to learn" in str(examples.skipped)


def test_pairs_share_one_length(examples: Examples, tmp_path: Path) -> None:
    pairs = Examples(examples.encoder, both_replies, 200)
    item = sample(1, tmp_path)
    size = pairs.measure(item)
    loaded = pairs.load(item)
    assert size is not None
    assert len(loaded) == 2
    assert size.length == sum(len(encoded.input_ids) for encoded in loaded)
    texts = [pairs.encoder.tokenizer.decode(encoded.input_ids) for encoded in loaded]
    assert "It is green.It is green." in texts[0]
    assert "It is blue." in texts[1]
