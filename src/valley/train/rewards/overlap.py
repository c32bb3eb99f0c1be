"""Rewards for places: boxes in a picture and spans of time, by intersection over union.

What an answer says and the truth must be in one unit: pixels, shares of a side, or seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from valley.grounding import marked

#: x0, y0, x1, y1 with x0 < x1 and y0 < y1.
Corners: TypeAlias = tuple[float, float, float, float]
#: Start and end, start < end.
Span: TypeAlias = tuple[float, float]

#: Overlap that an answer must exceed (Valley2.5 report, equation 3).
TAU = 0.6
#: Characters of the longest answer that is searched for places.
MAX_LENGTH = 10_000

_LIST = re.compile(r"\[([^\[\]]*)\]")
_TIME = re.compile(r"(?:\d+:){0,2}\d+(?:\.\d+)?", re.ASCII)


def iou(first: Corners, second: Corners) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    return _share(shared, _area(first) + _area(second) - shared)


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def temporal_iou(first: Span, second: Span) -> float:
    """Intersection over union of two spans, in [0, 1]."""
    shared = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    return _share(shared, (first[1] - first[0]) + (second[1] - second[0]) - shared)


def _share(shared: float, union: float) -> float:
    """Rounding may carry a quotient of nearly equal numbers above 1."""
    return min(1.0, shared / union) if union > 0 and math.isfinite(union) else 0.0


def above(overlap: float, tau: float) -> float:
    """The overlap if it exceeds `tau`, else 0."""
    return overlap if overlap > tau else 0.0


def is_box(numbers: Sequence[float]) -> bool:
    return (
        len(numbers) == 4
        and all(map(math.isfinite, numbers))
        and numbers[0] < numbers[2]
        and numbers[1] < numbers[3]
    )


def corners(value: Any) -> Corners:
    """A box from a list of numbers. Raises ValueError where it is none."""
    try:
        if isinstance(value, (list, tuple)) and all(type(n) in (int, float) for n in value):
            numbers = [float(number) for number in value]
            if is_box(numbers):
                return numbers[0], numbers[1], numbers[2], numbers[3]
    except OverflowError:
        pass
    raise ValueError(f"a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1, not {value!r:.200}")


def is_span(numbers: Sequence[float]) -> bool:
    return len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] < numbers[1]


def read_boxes(answer: str) -> tuple[Corners, ...]:
    """Boxes of an answer: every list of four numbers that is a box, in the unit it is written in;
    where there is `<box>` markup only that, in shares. None from an answer above `MAX_LENGTH`."""
    if len(answer) > MAX_LENGTH:
        return ()
    if found := marked(answer):
        return tuple((item.box.x0, item.box.y0, item.box.x1, item.box.y1) for item in found)
    lists = (_numbers(match[1]) for match in _LIST.finditer(answer))
    return tuple((n[0], n[1], n[2], n[3]) for n in lists if is_box(n))


def _numbers(text: str) -> list[float]:
    """The numbers of a list, none if something in it is no number."""
    try:
        return [float(item) for item in text.split(",")]
    except ValueError:
        return []


def read_span(answer: str) -> Span | None:
    """The span of an answer that holds two times and no other number: `3.5 - 7`, `[3.5, 7]`,
    `00:03 to 00:07`. In seconds where written as a clock shows them."""
    if len(answer) > MAX_LENGTH:
        return None
    times = [_seconds(match[0]) for match in _TIME.finditer(answer)]
    return (times[0], times[1]) if is_span(times) else None


def _seconds(time: str) -> float:
    seconds = 0.0
    for part in time.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def box_overlaps(boxes: Sequence[Corners], truth: Sequence[Corners]) -> list[float]:
    """Overlap of each pair when boxes and truths are paired off, largest overlap first.

    The report does not say how boxes are matched; this is the way of detection benchmarks.
    """
    pairs = sorted(
        ((iou(box, true), i, j) for i, box in enumerate(boxes) for j, true in enumerate(truth)),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    used: tuple[set[int], set[int]] = (set(), set())
    overlaps = []
    for overlap, i, j in pairs:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            overlaps.append(overlap)
    return overlaps


def fraction_of_boxes(
    boxes: Sequence[Corners], truth: Sequence[Corners], tau: float = TAU
) -> float:
    """Share of boxes whose overlap exceeds `tau` (table 3). Boxes too many count as missed."""
    hits = sum(overlap > tau for overlap in box_overlaps(boxes, truth))
    return hits / max(len(boxes), len(truth), 1)


def graded_boxes(boxes: Sequence[Corners], truth: Sequence[Corners], tau: float = TAU) -> float:
    """Mean over boxes of the overlap where it exceeds `tau`, 0 where not (equation 3)."""
    total = math.fsum(above(overlap, tau) for overlap in box_overlaps(boxes, truth))
    return total / max(len(boxes), len(truth), 1)


def span_reward(answer: str, truth: Span, tau: float = TAU) -> float:
    """Overlap in time of the answer's span with the truth if it exceeds `tau`, else 0."""
    span = read_span(answer)
    return above(temporal_iou(span, truth), tau) if span else 0.0
