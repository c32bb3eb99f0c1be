"""Where an item's pictures stand among its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from valley.types import Image, Part, Text, Video

Shown: TypeAlias = Image | Video
#: The parts of a message, of the words and the pictures.
Place: TypeAlias = Callable[[str, Sequence[Shown]], tuple[Part, ...]]
_MARKER = re.compile(r"<image (\d)>")


def first(text: str, pictures: Sequence[Shown]) -> tuple[Part, ...]:
    """All pictures, then the words."""
    return (*pictures, Text(text))


def at_markers(text: str, pictures: Sequence[Shown]) -> tuple[Part, ...]:
    """Each picture where the words say `<image N>`; one that no marker names is left out. Without
    markers the pictures come first, as with published code."""
    pieces = _MARKER.split(text)
    if len(pieces) == 1:
        return first(text, pictures)
    parts: list[Part] = [Text(pieces[0])]
    for number, words in zip(pieces[1::2], pieces[2::2], strict=True):
        if not 1 <= int(number) <= len(pictures):
            raise ValueError(f"the words name <image {number}> of {len(pictures)} pictures")
        parts += [pictures[int(number) - 1], Text(words)]
    return tuple(parts)


def spaced(place: Place) -> Place:
    """As `place`, with a space on both sides of each picture, which then touches the words."""

    def put(text: str, pictures: Sequence[Shown]) -> tuple[Part, ...]:
        parts: list[Part] = []
        for part in place(text, pictures):
            parts += [part] if isinstance(part, Text) else [Text(" "), part, Text(" ")]
        return tuple(parts)

    return put


def gathered(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Pictures to the front. Where several stood apart, `<Image-N>` stays in the place of each."""
    pictures = [part for part in parts if not isinstance(part, Text)]
    if len(pictures) == 1:
        words = "\n".join(part.text for part in parts if isinstance(part, Text))
        return (*pictures, Text(words))
    marks = (f"<Image-{number}>" for number in range(1, len(pictures) + 1))
    words = "".join(part.text if isinstance(part, Text) else next(marks) for part in parts)
    together = "".join(f"<Image-{number}>" for number in range(1, len(pictures) + 1))
    return (*pictures, Text(words.replace(together, "")))
