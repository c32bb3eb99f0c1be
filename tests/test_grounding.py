"""Boxes in replies."""

from __future__ import annotations

import pytest
from PIL import Image

from valley.grounding import boxes_in, draw_boxes, marked_boxes
from valley.types import Box


def test_tagged_and_plain_boxes_in_original_pixels() -> None:
    text = r"A cup <cor>[0.500, 0.25, 1.0, .75]<\cor> and a jar at [0.1,0.2,0.3,0.4]."
    first, second = boxes_in(text, (640, 480))
    assert first == Box(320, 120, 640, 360)
    assert (second.x0, second.y0, second.x1, second.y1) == pytest.approx((64, 96, 192, 192))


@pytest.mark.parametrize(
    "text", ["", "[1, 2, 3, 4]", "[0.5, 0.5, 0.1, 0.9]", "[0.1, 0.2, 0.3]", "<cor>[a, b]<\\cor>"]
)
def test_other_lists_are_no_boxes(text: str) -> None:
    assert boxes_in(text, (100, 100)) == ()


def corners(boxes: tuple[Box, ...]) -> list[tuple[float, float, float, float, str]]:
    return [(box.x0, box.y0, box.x1, box.y1, box.label) for box in boxes]


def test_marked_boxes_in_original_pixels() -> None:
    text = (
        "<ref>a dog</ref><box>[[100, 250, 500, 750], [0, 0, 10, 1000]]</box> and "
        "<ref>cup </ref> <box>[0.5, 0.25, 1.0, .75]</box>, <box>(10,10),(20,20)</box>"
    )
    assert corners(marked_boxes(text, (640, 480))) == [
        (64, 120, 320, 360, "a dog"),
        (0, 0, 6.4, 480, "a dog"),
        (320, 120, 640, 360, "cup"),
        (6.4, 4.8, 12.8, 9.6, ""),
    ]
    assert boxes_in(text, (640, 480)) == marked_boxes(text, (640, 480))


def test_the_box_around_a_quad() -> None:
    text = "<ref>PRICE</ref><quad>[[100, 200, 300, 220, 290, 400, 90, 380]]</quad>"
    assert corners(marked_boxes(text, (1000, 1000))) == [(90, 200, 300, 400, "PRICE")]


@pytest.mark.parametrize(
    "text",
    [
        "<box></box>",
        "<box>[[1, 2, 3]]</box>",
        "<box>[[500, 1, 100, 2]]</box>",
        "<box>[[1, 2, 3, 2000]]</box>",
        "<box>[[a, b]]</box>",
        "<box>[[1, 2, 3, 4]]</quad>",
        "<quad>[[1, 2, 3, 4]]</quad>",
        "<ref>a dog</ref>",
        "<box>[[-5, 1, 10, 20]]</box>",
    ],
)
def test_other_marks_are_no_boxes(text: str) -> None:
    assert marked_boxes(text, (100, 100)) == ()


def test_the_outline_lies_on_the_box_and_the_picture_is_kept() -> None:
    picture = Image.new("RGB", (200, 100))
    drawn = draw_boxes(picture, (Box(50, 20, 150, 80),))
    assert drawn.getpixel((100, 20)) == (214, 39, 40)
    assert drawn.getpixel((50, 50)) == (214, 39, 40)
    assert drawn.getpixel((100, 50)) == (0, 0, 0)
    assert picture.getbbox() is None
    numbered = draw_boxes(picture, (Box(50, 20, 150, 80), Box(0, 0, 10, 10)))
    assert numbered.crop((55, 25, 80, 60)).getbbox() is not None
