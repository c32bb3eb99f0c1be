"""Boxes and spans: overlap, reading, pairing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from valley.train.rewards.overlap import (
    MAX_LENGTH,
    Corners,
    Span,
    fraction_of_boxes,
    graded_boxes,
    iou,
    read_boxes,
    read_span,
    span_reward,
    temporal_iou,
)

A: Corners = (0, 0, 10, 10)
B: Corners = (20, 20, 30, 30)
NEAR_A: Corners = (0, 0, 10, 8)

sides = st.floats(0, 1000)
spans = st.lists(sides, min_size=2, max_size=2, unique=True).map(sorted).map(tuple)
boxes = st.tuples(spans, spans).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))


@given(boxes, boxes)
def test_iou_is_a_symmetric_share(first: Corners, second: Corners) -> None:
    assert 0.0 <= iou(first, second) <= 1.0
    assert iou(first, second) == pytest.approx(iou(second, first), abs=1e-12)
    assume((first[2] - first[0]) * (first[3] - first[1]) > 1e-300)
    assert iou(first, first) == 1.0


@given(spans, spans)
def test_temporal_iou_is_a_symmetric_share(first: Span, second: Span) -> None:
    assert 0.0 <= temporal_iou(first, second) <= 1.0
    assert temporal_iou(first, second) == pytest.approx(temporal_iou(second, first), abs=1e-12)
    assert temporal_iou(first, first) == 1.0


def test_overlaps_by_hand() -> None:
    assert iou(A, NEAR_A) == pytest.approx(0.8)
    assert iou(A, B) == iou(A, (10, 0, 20, 10)) == 0.0
    assert temporal_iou((0, 10), (5, 15)) == pytest.approx(1 / 3)
    assert temporal_iou((0, 1), (2, 3)) == 0.0
    assert iou((0, 0, 1e308, 1e308), A) == 0.0  # the area is beyond every float


def test_the_order_of_boxes_does_not_matter() -> None:
    assert fraction_of_boxes([B, A], [NEAR_A, B]) == 1.0
    assert graded_boxes([B, A], [NEAR_A, B]) == pytest.approx(0.9)


def test_a_box_is_found_once_and_boxes_too_many_cost() -> None:
    assert fraction_of_boxes([A, A], [A, B]) == 0.5
    assert fraction_of_boxes([A, B, (40, 0, 50, 9), (60, 0, 70, 9)], [A, B]) == 0.5
    assert fraction_of_boxes([A], [A, B]) == graded_boxes([A], [A, B]) == 0.5
    assert fraction_of_boxes([], [A]) == graded_boxes([], [A]) == 0.0
    # the best pair is taken first, whatever the order
    assert graded_boxes([NEAR_A, A], [A], tau=0) == 0.5


def test_the_threshold_must_be_exceeded() -> None:
    assert fraction_of_boxes([(0, 0, 10, 6)], [A]) == 0.0
    assert fraction_of_boxes([(0, 0, 10, 6)], [A], tau=0.5) == 1.0
    assert graded_boxes([(0, 0, 10, 6)], [A], tau=0.5) == pytest.approx(0.6)


@given(st.lists(boxes, max_size=5), st.lists(boxes, min_size=1, max_size=5), st.floats(0, 0.9))
def test_rewards_for_boxes_are_shares(
    found: list[Corners], truth: list[Corners], tau: float
) -> None:
    fraction, graded = (reward(found, truth, tau) for reward in (fraction_of_boxes, graded_boxes))
    assert 0.0 <= graded <= fraction <= 1.0


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("[0, 0, 10, 10]", [A]),
        ("a cat [0,0,10,10] and [20, 20, 30.0, 30]", [A, B]),
        ("[[0, 0, 10, 10], [20, 20, 30, 30]]", [A, B]),
        ('{"bbox": [0, 0, 10, 10]}', [A]),
        ("<cor>[0.1, .2, 0.5, 1.0]<\\cor>", [(0.1, 0.2, 0.5, 1.0)]),
        ("<ref>cat</ref><box>[[100, 200, 500, 1000]]</box>", [(0.1, 0.2, 0.5, 1.0)]),
        ("[10, 0, 0, 10]", []),
        ("[0, 0, 10]", []),
        ("[0, 0, nan, 10]", []),
        ("[0, 0, 1e999, 10]", []),
        ("[0, 0, ten, 10]", []),
        ("[0, 0, 10, 10", []),
        ("0, 0, 10, 10", []),
        ("", []),
        ("[0, 0, 10, 10]" + " " * MAX_LENGTH, []),
    ],
)
def test_reading_boxes(answer: str, found: list[Corners]) -> None:
    assert list(read_boxes(answer)) == [pytest.approx(box) for box in found]


@pytest.mark.parametrize(
    ("answer", "span"),
    [
        ("[3.5, 7]", (3.5, 7)),
        ("3.5s - 7.0s", (3.5, 7)),
        ("3-7", (3, 7)),
        ("from 00:03 to 01:07.5", (3, 67.5)),
        ("1:00:00 to 1:00:01", (3600, 3601)),
        ("[7, 3]", None),
        ("[3, 3]", None),
        ("3", None),
        ("1, 2, 3", None),
        ("never", None),
        ("1" * 400 + " " + "2" * 500, None),
        ("3 7" + " " * MAX_LENGTH, None),
    ],
)
def test_reading_spans(answer: str, span: Span | None) -> None:
    assert read_span(answer) == span


def test_the_reward_of_a_span() -> None:
    assert span_reward("0 to 8", (0, 10)) == pytest.approx(0.8)
    assert span_reward("0 to 6", (0, 10)) == 0.0
    assert span_reward("0 to 6", (0, 10), tau=0.5) == pytest.approx(0.6)
    assert span_reward("soon", (0, 10)) == 0.0


@given(st.text(alphabet="<>/[]refboxquad0123456789.,:;- e", max_size=200))
def test_any_text_can_be_read(answer: str) -> None:
    for x0, y0, x1, y1 in read_boxes(answer):
        assert x0 < x1
        assert y0 < y1
    span = read_span(answer)
    assert span is None or span[0] < span[1]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", ["<ref>", "<box>", "[", "[1", "1", "1:", "<box>1", "<ref></ref>", "[ ", "[0,0,1,1]"]
)
def test_the_longest_text_is_read_soon(piece: str) -> None:
    text = piece * (MAX_LENGTH // len(piece))
    assert read_span(text) is None
    assert piece == "[0,0,1,1]" or read_boxes(text) == ()
