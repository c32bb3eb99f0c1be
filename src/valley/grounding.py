"""Boxes that a model writes into its reply, and drawing them."""

from __future__ import annotations

import re

from PIL import Image, ImageDraw

from valley.types import Box, Size

_NUMBER = r"\s*(\d*\.?\d+)\s*"
_LIST = rf"\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]"
#: With the tags of the Valley lines (the backslash is theirs), or bare.
_BOX = re.compile(rf"(?:<cor>\s*{_LIST}\s*<\\cor>)|{_LIST}")


_SHAPE = re.compile(
    r"(?:<ref>(?P<label>.*?)</ref>\s*)?<(?P<kind>box|quad)>(?P<numbers>[\s\d.,;()\[\]]*)</(?P=kind)>",
    re.DOTALL,
)
#: Whole numbers in this markup count thousandths of a side.
_THOUSANDTHS = 1000


def marked_boxes(text: str, size: Size) -> tuple[Box, ...]:
    """The boxes of `<ref>words</ref><box>[[x0, y0, x1, y1], …]</box>` in pixels of a picture of
    this size.

    The markup of InternVL and SAIL-VL: numbers above 1 are thousandths of width and height, others
    shares of them. `<quad>` holds four corners (x, y), of which the box that encloses them is
    returned. What is no box (a corner before the first, an odd number of numbers) is left out.
    """
    found = []
    for match in _SHAPE.finditer(text):
        numbers = [float(number) for number in re.findall(r"\d*\.?\d+", match["numbers"])]
        length = 8 if match["kind"] == "quad" else 4
        if not numbers or len(numbers) % length:
            continue
        scale = _THOUSANDTHS if max(numbers) > 1 else 1
        for start in range(0, len(numbers), length):
            corners = [number / scale for number in numbers[start : start + length]]
            if length == 8:
                xs, ys = corners[::2], corners[1::2]
                corners = [min(xs), min(ys), max(xs), max(ys)]
            x0, y0, x1, y1 = corners
            if x0 < x1 <= 1 and y0 < y1 <= 1:
                label = (match["label"] or "").strip()
                found.append(Box(x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1], label))
    return tuple(found)


def boxes_in(text: str, size: Size) -> tuple[Box, ...]:
    """The boxes of a reply in pixels of a picture of this size.

    They are written as `marked_boxes` reads them, else `<cor>[x0, y0, x1, y1]<\\cor>` or as a plain
    list, in shares of width and height. A list that is no box (a number above 1, a corner before
    the first) is left out.
    """
    if marked := marked_boxes(text, size):
        return marked
    found = []
    for match in _BOX.finditer(text):
        numbers = [float(number) for number in match.groups() if number is not None]
        x0, y0, x1, y1 = numbers
        if max(numbers) <= 1 and x0 < x1 and y0 < y1:
            found.append(Box(x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]))
    return tuple(found)


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
