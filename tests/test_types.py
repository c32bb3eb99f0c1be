"""Messages, budgets, requests and sampling: what is accepted and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from valley.types import (
    Audio,
    Budget,
    Image,
    Message,
    Request,
    Sampling,
    Text,
    Video,
    describe_source,
)


def test_a_message_from_parts() -> None:
    message = Message.of("user", Image("a.png"), "what", " is it?")
    assert message.parts == (Image("a.png"), Text("what"), Text(" is it?"))
    assert message.text == "what is it?"
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.role = "system"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("words", Text("words")),
        ({"type": "text", "text": "words"}, Text("words")),
        ({"type": "image", "image": "a.png"}, Image("a.png")),
        ({"type": "image", "url": "a.png"}, Image("a.png")),
        ({"type": "image", "path": "a.png"}, Image("a.png")),
        ({"type": "image_url", "image_url": {"url": "data:x"}}, Image("data:x")),
        ({"type": "image_url", "image_url": "a.png"}, Image("a.png")),
        ({"type": "video", "video": ["a.png", "b.png"]}, Video(["a.png", "b.png"])),
        ({"type": "video_url", "video_url": {"url": "a.mp4"}}, Video("a.mp4")),
        ({"type": "audio", "audio": "a.wav"}, Audio("a.wav")),
    ],
)
def test_openai_parts(part: Any, expected: Any) -> None:
    assert Message.from_dict({"role": "user", "content": [part]}).parts == (expected,)


def test_string_content() -> None:
    record = {"role": "assistant", "content": "Yes."}
    assert Message.from_dict(record) == Message.of("assistant", "Yes.")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"content": "a"}, "role"),
        ({"role": "user"}, "content"),
        ("hello", "role"),
        ({"role": "tool", "content": "a"}, "unknown role 'tool'"),
        ({"role": "user", "content": 3}, "string or a list"),
        ({"role": "user", "content": None}, "string or a list"),
        ({"role": "user", "content": [{"type": "pdf"}]}, "'pdf'"),
        ({"role": "user", "content": [{"type": "image"}]}, "names no source"),
        ({"role": "user", "content": [{}]}, "unknown content part"),
    ],
)
def test_records_that_are_refused(record: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Message.from_dict(record)


def test_budgets_fill_each_other() -> None:
    base = Budget(min_pixels=10, max_pixels=100, max_frames=8)
    assert Budget(max_pixels=50).over(base) == Budget(10, 50, None, None, 8)
    assert Budget().over(base) == base
    assert Budget(max_frames=2, fps=1.0).set_fields() == ("max_frames", "fps")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Budget)])
@pytest.mark.parametrize("value", [0, -1])
def test_budgets_are_positive(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        Budget(**{name: value})


def test_a_budget_upside_down() -> None:
    with pytest.raises(ValueError, match="larger than max_pixels"):
        Budget(min_pixels=100, max_pixels=10)


@pytest.mark.parametrize(
    "options", [{"max_new_tokens": 0}, {"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}]
)
def test_sampling_is_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Sampling(**options)


def test_requests_are_checked() -> None:
    hello = (Message.of("user", "Hello"),)
    assert Request(hello).style == "default"
    with pytest.raises(ValueError, match="unknown style 'old'"):
        Request(hello, style="old")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one message"):
        Request(())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b.png", "a/b.png"),
        ("data:image/png;base64," + "A" * 100, "data:image/png;base64," + "A" * 18 + "…"),
        (b"12345", "<5 bytes>"),
        (["a.png", "b.png"], "<2 frames>"),
        (3, "<int>"),
    ],
)
def test_sources_have_short_names(source: Any, expected: str) -> None:
    assert describe_source(source) == expected
