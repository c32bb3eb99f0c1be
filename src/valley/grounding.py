"""Boxes that a model writes into its reply, and drawing them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PIL import Image, ImageDraw

from valley.types import Box, Size

_NUMBER = r"\s*(\d*\.?\d+)\s*"
_LIST = rf"\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]"
#: With the tags of the Valley lines (the backslash is theirs), or bare.
_BOX = re.compile(rf"(?:<cor>\s*{_LIST}\s*<\\cor>)|{_LIST}")

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_NOUN = r"(?:image|picture|photo|frame)"
#: Words for one of several pictures.
_PICTURE = re.compile(
    rf"\b{_NOUN}\s*#?(\d{{1,3}})\b|\b({'|'.join(_ORDINALS)})\s+{_NOUN}\b", re.IGNORECASE
)
_CLAUSE_END = re.compile(r"[.;](?=\s)|\n")


def boxes_in(text: str, sizes: Sequence[Size]) -> tuple[Box, ...]:
    """The boxes of a reply in pixels of the request's pictures, whose sizes these are.

    They are written `<cor>[x0, y0, x1, y1]<\\cor>` or as a plain list, in shares of width and
    height. A list that is no box (a number above 1, a corner before the first) is left out. No
    model writes which picture it means; where there are several, the words around a box may say
    so ("image 2", "the first picture"), and else the box stays in shares, of no picture.
    """
    found = []
    for match in _BOX.finditer(text):
        numbers = [float(number) for number in match.groups() if number is not None]
        x0, y0, x1, y1 = numbers
        if sizes and max(numbers) <= 1 and x0 < x1 and y0 < y1:
            box = Box(x0, y0, x1, y1, picture=None)
            picture = 0 if len(sizes) == 1 else _picture_of(text, match, len(sizes))
            found.append(box if picture is None else box.on(picture, sizes[picture]))
    return tuple(found)


def _picture_of(text: str, box: re.Match[str], count: int) -> int | None:
    """The number from 0 of the picture that the words around a box name, None if they do not.

    A clause that names one before its first box names one before each, else one after each. A
    clause that names none goes on about the picture named last.
    """
    ends = [end.end() for end in _CLAUSE_END.finditer(text)]
    start = max((end for end in ends if end <= box.start()), default=0)
    stop = min((end for end in ends if end >= box.end()), default=len(text))
    named = list(_PICTURE.finditer(text, start, stop))
    first_box = _BOX.search(text, start)
    if named and first_box and named[0].start() > first_box.start():
        named = [name for name in named if name.start() >= box.end()][:1]
    elif named:
        named = [name for name in named if name.end() <= box.start()]
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
