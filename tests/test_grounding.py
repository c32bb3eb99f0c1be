"""Boxes in replies."""

from __future__ import annotations

import pytest
from PIL import Image

from valley.grounding import boxes_in, draw_boxes, marked
from valley.types import Box


def test_tagged_and_plain_boxes_in_original_pixels() -> None:
    text = r"A cup <cor>[0.500, 0.25, 1.0, .75]<\cor> and a jar at [0.1,0.2,0.3,0.4]."
    first, second = boxes_in(text, [(640, 480)])
    assert first == Box(320, 120, 640, 360)
    assert (second.x0, second.y0, second.x1, second.y1) == pytest.approx((64, 96, 192, 192))


@pytest.mark.parametrize(
    "text", ["", "[1, 2, 3, 4]", "[0.5, 0.5, 0.1, 0.9]", "[0.1, 0.2, 0.3]", "<cor>[a, b]<\\cor>"]
)
def test_other_lists_are_no_boxes(text: str) -> None:
    assert boxes_in(text, [(100, 100)]) == ()


A, B = "[0.1, 0.2, 0.5, 0.6]", "<cor>[0.5, 0.5, 1.0, 1.0]<\\cor>"


@pytest.mark.parametrize(
    ("text", "pictures"),
    [
        (f"Image 1: {A}, image 2: {B}", [0, 1]),
        (f"A cat {A} in the second picture and a dog {B} in the first image.", [1, 0]),
        (f"In image 2 sits a cat {A}. The dog {B} is in image 1.", [1, 0]),
        (f"Picture 2:\n- a cat {A}\n- a dog {B}", [1, 1]),
        (f"A cat {A} and a dog {B}.", [None, None]),
        (f"Image 3: {A}; frame 0: {B}", [None, None]),
        (f"A cat {A}. In image 2, a dog {B}", [None, 1]),
    ],
)
def test_boxes_on_several_pictures(text: str, pictures: list[int | None]) -> None:
    sizes = [(100, 50), (10, 20)]
    first, second = boxes_in(text, sizes)
    assert [first.picture, second.picture] == pictures
    for box, shares in ((first, (0.1, 0.2, 0.5, 0.6)), (second, (0.5, 0.5, 1.0, 1.0))):
        width, height = (1, 1) if box.picture is None else sizes[box.picture]
        assert (box.x0, box.x1) == pytest.approx((shares[0] * width, shares[2] * width))
        assert (box.y0, box.y1) == pytest.approx((shares[1] * height, shares[3] * height))


def test_a_box_of_no_picture_is_put_on_one() -> None:
    (box, _) = boxes_in(f"{A} {B}", [(4, 4), (6, 6)])
    assert box.on(1, (10, 20)) == Box(1, 4, 5, 12, picture=1)
    with pytest.raises(ValueError, match="picture 1 already"):
        box.on(1, (10, 20)).on(0, (5, 5))


def test_without_pictures_there_are_no_boxes() -> None:
    assert boxes_in(A, []) == ()


def corners(boxes: tuple[Box, ...]) -> list[tuple[float, float, float, float, str]]:
    return [(box.x0, box.y0, box.x1, box.y1, box.label) for box in boxes]


def test_marked_boxes_in_original_pixels() -> None:
    text = (
        "<ref>a dog</ref><box>[[100, 250, 500, 750], [0, 0, 10, 1000]]</box> and "
        "<ref>cup </ref> <box>[0.5, 0.25, 1.0, .75]</box>, <box>(10,10),(20,20)</box>"
    )
    assert corners(boxes_in(text, [(640, 480)])) == [
        (64, 120, 320, 360, "a dog"),
        (0, 0, 6.4, 480, "a dog"),
        (320, 120, 640, 360, "cup"),
        (6.4, 4.8, 12.8, 9.6, ""),
    ]
    two = boxes_in(f"Image 2: {text}", [(10, 10), (640, 480)])
    assert corners(two) == corners(boxes_in(text, [(640, 480)]))
    assert {box.picture for box in two} == {1}


def test_the_box_around_a_quad() -> None:
    text = "<ref>PRICE</ref><quad>[[100, 200, 300, 220, 290, 400, 90, 380]]</quad>"
    assert corners(boxes_in(text, [(1000, 1000)])) == [(90, 200, 300, 400, "PRICE")]


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
    assert boxes_in(text, [(100, 100)]) == ()
    assert not marked(text)


def test_the_outline_lies_on_the_box_and_the_picture_is_kept() -> None:
    picture = Image.new("RGB", (200, 100))
    drawn = draw_boxes(picture, (Box(50, 20, 150, 80),))
    assert drawn.getpixel((100, 20)) == (214, 39, 40)
    assert drawn.getpixel((50, 50)) == (214, 39, 40)
    assert drawn.getpixel((100, 50)) == (0, 0, 0)
    assert picture.getbbox() is None
    numbered = draw_boxes(picture, (Box(50, 20, 150, 80), Box(0, 0, 10, 10)))
    assert numbered.crop((55, 25, 80, 60)).getbbox() is not None


def test_a_long_run_of_digits_is_read_once() -> None:
    # Where every piece of it is tried, this takes longer than any test may.
    assert boxes_in("[" + "1" * 400_000, [(100, 100)]) == ()
