"""The records every module speaks: messages, budgets, requests, replies. Standard library only.

Sizes are `(width, height)` in pixels everywhere; boxes are `(x0, y0, x1, y1)` in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

Size: TypeAlias = tuple[int, int]
Role: TypeAlias = Literal["system", "user", "assistant"]
Style: TypeAlias = Literal["default", "published"]
FinishReason: TypeAlias = Literal["stop", "length", "repetition"]

#: A picture or clip as a user may hand it over: path, URL, data URI, bytes, PIL image, array,
#: or (for a clip) a sequence of frames.
MediaSource: TypeAlias = Any

STYLES: tuple[Style, ...] = ("default", "published")


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Image:
    source: MediaSource


@dataclass(frozen=True)
class Video:
    source: MediaSource


@dataclass(frozen=True)
class Audio:
    source: MediaSource


Part: TypeAlias = Text | Image | Video | Audio
_MEDIA_PARTS: dict[str, type[Image] | type[Video] | type[Audio]] = {
    "image": Image,
    "video": Video,
    "audio": Audio,
}


@dataclass(frozen=True)
class Message:
    """One turn: a role and its parts, in the order in which the model reads them."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: str, *parts: Part | str) -> Message:
        if role not in ("system", "user", "assistant"):
            raise ValueError(f"unknown role {role!r}: use system, user or assistant")
        return cls(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Message:
        """Read an OpenAI-style message: `{"role", "content": str | [part, …]}`.

        A media part is `{"type": "image", "image": SOURCE}` (also `url`, `path`, and the
        `image_url` form `{"type": "image_url", "image_url": {"url": …}}`).
        """
        try:
            role, content = record["role"], record["content"]
        except (KeyError, TypeError):
            raise ValueError(f"a message needs 'role' and 'content', got {record!r}") from None
        if isinstance(content, str):
            return cls.of(role, content)
        if not isinstance(content, Sequence):
            raise ValueError(f"message content must be a string or a list, got {content!r}")
        return cls.of(role, *(_part_from_dict(part) for part in content))

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


def _part_from_dict(part: Mapping[str, Any] | str) -> Part:
    if isinstance(part, str):
        return Text(part)
    kind = str(part.get("type"))
    if kind == "text":
        return Text(part["text"])
    name = kind.removesuffix("_url")
    if name not in _MEDIA_PARTS:
        raise ValueError(f"unknown content part type {kind!r}: use text, image, video or audio")
    for key in (kind, name, "url", "path", "source"):
        if part.get(key) is not None:
            source = part[key]
            source = source.get("url") if isinstance(source, Mapping) else source
            return _MEDIA_PARTS[name](source)
    raise ValueError(f"the {name} part {dict(part)!r} names no source: give {name!r} or 'url'")


@dataclass(frozen=True)
class Sample:
    """One record of data: a conversation and what is known about it."""

    messages: tuple[Message, ...]
    id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """What a request may spend on vision. A field left at None takes the family's value.

    `min_pixels`, `max_pixels`: area of a picture after resizing. `frame_max_pixels`: the same for
    a video frame. `max_tiles`: tiles of a picture where a family cuts tiles; `scales`: 2 cuts them
    at two scales, where a family can (MSAC). `max_frames`: frames of a clip; `fps`: frames per
    second instead of frames evenly spread; `max_video_tokens`: the visual tokens of a whole clip.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    frame_max_pixels: int | None = None
    max_tiles: int | None = None
    max_frames: int | None = None
    fps: float | None = None
    max_video_tokens: int | None = None
    scales: int | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and value <= 0:
                raise ValueError(f"budget: {item.name} must be positive, got {value}")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(
                f"budget: min_pixels {self.min_pixels} is larger than max_pixels {self.max_pixels}"
            )

    def over(self, base: Budget) -> Budget:
        """This budget, with `base` where a field is None."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(base, **{name: value for name, value in given.items() if value is not None})

    def set_fields(self) -> tuple[str, ...]:
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, `x0 <= x1`, `y0 <= y1`, with the words the model gave it.

    `picture`: on which picture of the request, counted from 0 in reading order, frames included.
    None where the reply leaves that open: the sides are then shares of any width and height, and
    `on` makes them pixels of a picture that the caller chooses.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str = ""
    picture: int | None = 0

    def on(self, picture: int, size: Size) -> Box:
        """A box in shares as one in pixels of a picture of this size."""
        if self.picture is not None:
            raise ValueError(f"the box is in pixels of picture {self.picture} already")
        (width, height) = size
        sides = self.x0 * width, self.y0 * height, self.x1 * width, self.y1 * height
        return Box(*sides, self.label, picture)


@dataclass(frozen=True)
class Cue:
    """One `<vcues_N>` block of a reasoning reply."""

    index: int
    text: str


@dataclass(frozen=True)
class Usage:
    """Token counts of a request. `visual_tokens` is part of `prompt_tokens`."""

    prompt_tokens: int
    visual_tokens: int
    completion_tokens: int = 0


@dataclass(frozen=True)
class Reply:
    """What the model said, taken apart. `raw` is the decoded text before parsing."""

    text: str
    thinking: str | None = None
    cues: tuple[Cue, ...] = ()
    boxes: tuple[Box, ...] = ()
    usage: Usage = Usage(0, 0)
    finish_reason: FinishReason = "stop"
    raw: str = ""
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Temperature 0 is greedy. `schema`: a JSON schema, as text, that the
    reply is held to."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: str | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}")


@dataclass(frozen=True)
class Request:
    """One conversation to answer. `thinking` None leaves the choice to the family. `prefix`: words
    that the model goes on from, as if it had said them; its reply is what it adds to them."""

    messages: tuple[Message, ...]
    budget: Budget = Budget()
    style: Style = "default"
    thinking: bool | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"unknown style {self.style!r}: use one of {', '.join(STYLES)}")
        if not self.messages:
            raise ValueError("a request needs at least one message")


def describe_source(source: MediaSource) -> str:
    """A short name of a media source for messages and tables."""
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        return text[:40] + "…" if text.startswith("data:") else text
    if isinstance(source, (bytes, bytearray)):
        return f"<{len(source)} bytes>"
    if isinstance(source, Sequence):
        return f"<{len(source)} frames>"
    return f"<{type(source).__name__}>"
