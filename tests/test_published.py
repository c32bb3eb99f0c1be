"""What the published processor does wrong, reproduced where its results are asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from golden.folders import DATA
from golden.vectors import STAND_INS
from valley.families import valley2_5_published as published
from valley.types import Budget

VECTOR = json.loads((DATA / "valley25_vectors.json").read_text())["label_masking"]


def encode_with(processor: Any) -> Any:
    return lambda text: processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def real(processor: Any, ids: list[int]) -> list[int]:
    number = processor.tokenizer.convert_tokens_to_ids
    return [number(STAND_INS[i]) if i in STAND_INS else i for i in ids]


def test_labels_leak_from_a_turn_that_says_assistant(tiny_processor: Any) -> None:
    ids, labels = published.tokenise(VECTOR["text"], encode_with(tiny_processor), inference=False)
    assert ids == real(tiny_processor, VECTOR["input_ids"])
    assert labels == real(tiny_processor, VECTOR["labels"])
    leaked = tiny_processor.tokenizer.decode([i for i in labels if i != -100])
    assert "now?" in leaked


def test_a_prompt_keeps_its_last_turn_open(tiny_processor: Any) -> None:
    text = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    ids, labels = published.tokenise(text, encode_with(tiny_processor))
    assert tiny_processor.tokenizer.decode(ids) == text
    assert len(labels) == len(ids)


def test_a_turn_may_not_be_endless() -> None:
    with pytest.raises(ValueError, match="50000"):
        published.tokenise("a" * 50_001, lambda text: [1] * len(text))


def test_messages_are_changed_in_place() -> None:
    messages: list[Any] = [{"role": "user", "content": "Look"}]
    first = messages[0]
    result = published.rewrite(messages, 2)
    assert result is messages
    assert messages[1] is first
    assert messages[0] == {"role": "system", "content": published.DEFAULT_SYSTEM}
    one = "<im_start><image><im_end>"
    assert first["content"] == f"{one} {one}\nLook"


def test_a_placeholder_of_the_user_is_kept_in_its_place() -> None:
    messages: list[Any] = [
        {"role": "system", "content": None},
        {"role": "user", "content": "a<image>"},
    ]
    published.rewrite(messages, 1, brackets=False)
    assert [m["content"] for m in messages] == [published.DEFAULT_SYSTEM, "a<image>"]


@pytest.mark.parametrize(
    ("messages", "inference", "words"),
    [
        ([], True, "empty"),
        ([{"role": "system", "content": "s"}], True, "alternate"),
        ([{"role": "assistant", "content": "s"}], True, "alternate"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], True, "alternate"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], True, "last"),
    ],
)
def test_turns_are_checked(messages: list[Any], inference: bool, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        published.rewrite(messages, 1, inference=inference)


def test_limits_stay_where_they_are_kept() -> None:
    limits = published.PixelLimits()
    assert limits.keep(None, None) == Budget()
    assert limits.keep(None, 200_704) == Budget(max_pixels=200_704)
    assert limits.keep(3136, None) == Budget(min_pixels=3136, max_pixels=200_704)


def test_a_black_picture_stands_in_for_none(tiny_processor: Any) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    none = tiny_processor({"conversations": messages, "images": None})
    black = tiny_processor({"conversations": messages, "images": [Image.new("RGB", (3, 3))]})
    assert none["image_sizes"] == [[(3, 3)]]
    assert none["input_ids"].tolist() == black["input_ids"].tolist()
    assert (none["pixel_values"] == black["pixel_values"]).all()
    assert none["input_ids"][0].tolist().count(published.SENTINEL) == 1


def test_a_clear_picture_shows_its_hidden_colour(tiny_processor: Any) -> None:
    """Published: transparency is dropped, not laid on white."""
    messages = [{"role": "user", "content": "Hello"}]
    clear = Image.new("RGBA", (56, 56), (255, 0, 0, 0))
    red = Image.new("RGB", (56, 56), (255, 0, 0))
    outputs = [tiny_processor({"conversations": messages, "images": [i]}) for i in (clear, red)]
    assert (outputs[0]["pixel_values"] == outputs[1]["pixel_values"]).all()


def test_one_path_is_one_picture(tiny_processor: Any, golden_valley: Path) -> None:
    path = str(golden_valley / "images" / "p56x56.png")
    messages = [{"role": "user", "content": "Hello"}]
    output = tiny_processor({"conversations": messages, "images": path})
    assert output["image_sizes"] == [[(56, 56)]]


def test_extreme_pictures_are_refused_as_published(tiny_processor: Any) -> None:
    published.check_ratio((2000, 10))
    with pytest.raises(ValueError, match="2001x10 has an aspect ratio above 200"):
        published.check_ratio((2001, 10))
    record = {
        "conversations": [{"role": "user", "content": "Hello"}],
        "images": [Image.new("RGB", (201, 1))],
    }
    with pytest.raises(ValueError, match="aspect ratio above 200"):
        tiny_processor(record)
