"""Boxes that a model writes into its reply, and drawing them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from valley.types import Box, Size

#: Digits are taken whole (`++`): trying them in pieces would take ever longer on a long run.
_DIGITS = r"\d++(?:\.\d++)?|\.\d++"
_NUMBER = rf"\s*({_DIGITS})\s*"
_LIST = rf"\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]"
#: With the tags of the Valley lines (the backslash is theirs), or bare.
_BOX = re.compile(rf"(?:<cor>\s*{_LIST}\s*<\\cor>)|{_LIST}")

_MARKED = re.compile(
    r"(?:<ref>(?P<label>.*?)</ref>\s*)?<(?P<kind>box|quad)>(?P<numbers>[\s\d.,;()\[\]]*)</(?P=kind)>",
    re.DOTALL,
)
#: Whole numbers in this markup count thousandths of a side.
_THOUSANDTHS = 1000

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_NOUN = r"(?:image|picture|photo|frame)"
#: Words for one of several pictures.
_PICTURE = re.compile(
    rf"\b{_NOUN}\s*#?(\d{{1,3}})\b|\b({'|'.join(_ORDINALS)})\s+{_NOUN}\b", re.IGNORECASE
)
_CLAUSE_END = re.compile(r"[.;](?=\s)|\n")


@dataclass(frozen=True)
class Found:
    """A box in shares of width and height, and where in the text it is written."""

    box: Box
    start: int
    end: int


def boxes_in(text: str, sizes: Sequence[Size]) -> tuple[Box, ...]:
    """The boxes of a reply in pixels of the request's pictures, whose sizes these are.

    They are written as `marked` reads them, else as `plain` does. No model writes which picture it
    means; where there are several, the words around a box may say so ("image 2", "the first
    picture"), and else the box stays in shares, of no picture.
    """
    found = marked(text) or plain(text)
    boxes = []
    for item in found if sizes else ():
        picture = 0 if len(sizes) == 1 else _picture_of(text, item, found, len(sizes))
        boxes.append(item.box if picture is None else item.box.on(picture, sizes[picture]))
    return tuple(boxes)


def plain(text: str) -> list[Found]:
    """`<cor>[x0, y0, x1, y1]<\\cor>` or a plain list, in shares of width and height.

    A list that is no box (a number above 1, a corner before the first) is left out.
    """
    found = []
    for match in _BOX.finditer(text):
        numbers = [float(number) for number in match.groups() if number is not None]
        found += _found(numbers, "", match)
    return found


def marked(text: str) -> list[Found]:
    """`<ref>words</ref><box>[[x0, y0, x1, y1], …]</box>`, the markup of InternVL and SAIL-VL.

    Numbers above 1 are thousandths of width and height, others shares of them. `<quad>` holds four
    corners (x, y), of which the box that encloses them is returned. What is no box (a corner before
    the first, an odd number of numbers) is left out.
    """
    found = []
    for match in _MARKED.finditer(text):
        numbers = [float(number) for number in re.findall(_DIGITS, match["numbers"])]
        length = 8 if match["kind"] == "quad" else 4
        if not numbers or len(numbers) % length:
            continue
        scale = _THOUSANDTHS if max(numbers) > 1 else 1
        for start in range(0, len(numbers), length):
            corners = [number / scale for number in numbers[start : start + length]]
            if length == 8:
                xs, ys = corners[::2], corners[1::2]
                corners = [min(xs), min(ys), max(xs), max(ys)]
            found += _found(corners, (match["label"] or "").strip(), match)
    return found


def _found(corners: list[float], label: str, match: re.Match[str]) -> list[Found]:
    """The box of four shares, none where they are not one."""
    x0, y0, x1, y1 = corners
    if not (x0 < x1 <= 1 and y0 < y1 <= 1):
        return []
    return [Found(Box(x0, y0, x1, y1, label, picture=None), *match.span())]


def _picture_of(text: str, item: Found, every: Sequence[Found], count: int) -> int | None:
    """The number from 0 of the picture that the words around a box name, None if they do not.

    A clause that names one before its first box names one before each, else one after each. A
    clause that names none goes on about the picture named last.
    """
    ends = [end.end() for end in _CLAUSE_END.finditer(text)]
    start = max((end for end in ends if end <= item.start), default=0)
    stop = min((end for end in ends if end >= item.end), default=len(text))
    named = list(_PICTURE.finditer(text, start, stop))
    first = min(other.start for other in every if other.start >= start)
    if named and named[0].start() > first:
        named = [name for name in named if name.start() >= item.end][:1]
    elif named:
        named = [name for name in named if name.end() <= item.start]
    else:
        named = list(_PICTURE.finditer(text, 0, start))
    if not named:
        return None
    number, ordinal = named[-1].groups()
    picture = int(number) - 1 if number else _ORDINALS.index(ordinal.lower())
    return picture if 0 <= picture < count else None


def draw_boxes(picture: Image.Image, boxes: tuple[Box, ...]) -> Image.Image:
    """A copy of the picture with every box outlined, dark inside light so that it shows anywhere,
    and numbered where there are several."""
    drawn = picture.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    width = max(2, round(max(drawn.size) / 300))
    for number, box in enumerate(boxes, start=1):
        corners = (box.x0, box.y0, box.x1, box.y1)
        draw.rectangle(corners, outline=(255, 255, 255), width=width + 2)
        draw.rectangle(corners, outline=(214, 39, 40), width=width)
        label = box.label or (str(number) if len(boxes) > 1 else "")
        if label:
            place = (box.x0 + 2 * width, box.y0 + 2 * width)
            draw.text(place, label, fill=(214, 39, 40), font_size=8 * width, stroke_width=1)
    return drawn
