"""Expected against computed values: what is exact, what has a tolerance, and how far apart.

A computed value may be a tensor where the expected one lists a few samples and sums of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Largest difference allowed per kind of value (float32 on a CPU). The only place that says so.
TOLERANCES: dict[str, float] = {
    "exact": 0.0,  # ids, grids, counts, greedy tokens, text; a difference counts unequal items
    "pixels": 1e-5,
    "features": 1e-4,
    "logits": 3e-4,
    "loss": 1e-4,
    "score": 1e-6,  # rewards and losses computed in float64
    "sum": 1e-3,  # relative to max(1, |expected|)
    "margin": 6e-4,  # a gap between two logits: each may be off by its tolerance
}

#: What kind of value each key of the Valley lines holds.
KINDS: dict[str, str] = {
    "input_ids": "exact",
    "labels": "exact",
    "n_labels": "exact",
    "image_sizes": "exact",
    "image_grid_thw": "exact",
    "visual_tokens": "exact",
    "eagle_tokens": "exact",
    "siglip_tokens": "exact",
    "tile_counts": "exact",
    "seq_len": "exact",
    "last_logits_top5": "exact",
    "greedy_tokens": "exact",
    "text": "exact",
    "pixel_values": "pixels",
    "tiles": "pixels",
    "last_logits_first8": "logits",
    "last_logits_top5_values": "logits",
    "last_logits_abs_mean": "logits",
    "last_logits_sum": "sum",
    "inputs_embeds_sum": "sum",
    "inputs_embeds_abs_sum": "sum",
    "top1_top2_margin": "margin",
    "greedy_min_margin": "margin",
    "loss": "loss",
}


class Samples:
    """A tensor of which the expected file holds shape, sums and single values.

    `counts`: rows an image, where the expected file may list one entry an image.
    """

    def __init__(self, values: Any, counts: Sequence[int] = ()) -> None:
        self.values: NDArray[Any] = np.asarray(values)
        self.counts = counts

    @cached_property
    def images(self) -> list[Samples]:
        ends = np.cumsum(self.counts)[:-1]
        return [Samples(rows) for rows in np.split(self.values, ends)]

    @cached_property
    def sum(self) -> float:
        return float(self.values.sum(dtype=np.float64))

    @cached_property
    def abs_sum(self) -> float:
        return float(np.abs(self.values).sum(dtype=np.float64))

    @cached_property
    def tile_means(self) -> list[float]:
        """Of each entry of the first dimension."""
        rows = self.values.reshape(len(self.values), -1)
        return rows.mean(axis=1, dtype=np.float64).tolist()

    @cached_property
    def top5(self) -> list[int]:
        return np.argsort(-self.values, kind="stable")[:5].tolist()

    @property
    def mean(self) -> float:
        return self.sum / self.values.size


@dataclass(frozen=True)
class Finding:
    """One key: the largest difference, and what is wrong if it is more than allowed."""

    key: str
    difference: float
    problem: str | None = None


def compare(key: str, expected: Any, actual: Any) -> Finding:
    """Compare one key of `expected` of the Valley lines; `actual` is what `Values` holds for it."""
    if key not in KINDS:
        return Finding(key, math.inf, f"unknown key {key}: no rule says how to compare it")
    return compare_as(KINDS[key], key, expected, actual)


def compare_as(kind: str, key: str, expected: Any, actual: Any) -> Finding:
    """The same with the kind of value given."""
    pairs = [("", expected, actual)]
    if isinstance(actual, Samples) and isinstance(expected, list):
        pairs = _per_image(expected, actual.images)
    worst, problems = 0.0, []
    for where, wanted, got in pairs:
        whole = isinstance(got, Samples)
        compared = _samples(wanted, got, kind) if whole else [("", wanted, got, kind)]
        for part, left, right, part_kind in compared:
            difference = _difference(left, right, part_kind)
            worst = max(worst, difference)
            if not difference <= TOLERANCES[part_kind]:
                name = f"{key}{where}{part}"
                problems.append(f"{name}: {_explain(left, right, difference, part_kind)}")
    return Finding(key, worst, "; ".join(problems) or None)


def findings(
    kinds: Mapping[str, str], expected: Mapping[str, Any], actual: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """One finding per expected key; a key that was not computed is a failure."""
    found = []
    for key, wanted in expected.items():
        if key in actual:
            found.append(compare_as(kinds.get(key, "exact"), key, wanted, actual[key]))
        else:
            found.append(Finding(key, float("inf"), f"unknown key {key}: no checker computes it"))
    return tuple(found)


def _per_image(expected: list[Any], actual: list[Samples]) -> list[tuple[str, Any, Any]]:
    if len(expected) != len(actual):
        return [(".count", len(expected), len(actual))]
    pairs = enumerate(zip(expected, actual, strict=True))
    return [(f"[{index}]", wanted, got) for index, (wanted, got) in pairs]


_PARTS: dict[str, tuple[Callable[[Samples], Any], str | None]] = {
    "shape": (lambda tensor: list(tensor.values.shape), "exact"),
    "sum": (lambda tensor: tensor.sum, "sum"),
    "abs_sum": (lambda tensor: tensor.abs_sum, "sum"),
    "mean": (lambda tensor: tensor.mean, None),
    "tile_means": (lambda tensor: tensor.tile_means, None),
    "first4": (lambda tensor: tensor.values.reshape(-1)[:4].tolist(), None),
    "first8": (lambda tensor: tensor.values.reshape(-1)[:8].tolist(), None),
    "last4": (lambda tensor: tensor.values.reshape(-1)[-4:].tolist(), None),
    "top5_ids": (lambda tensor: tensor.top5, "exact"),
    "top5_values": (lambda tensor: tensor.values[tensor.top5].tolist(), None),
}


def _samples(expected: Any, actual: Samples, kind: str) -> Iterator[tuple[str, Any, Any, str]]:
    """(part, expected, computed, kind) of the statistics listed for a tensor."""
    if not isinstance(expected, Mapping):
        yield "", "an object of statistics", type(expected).__name__, "exact"
        return
    for part, wanted in expected.items():
        if part == "samples":
            for *index, value in wanted:
                index = index[0] if isinstance(index[0], list) else index
                yield f".samples{index}", value, _at(actual.values, index), kind
        elif part in _PARTS:
            read, part_kind = _PARTS[part]
            yield f".{part}", wanted, read(actual), part_kind or kind
        else:
            yield f".{part}", "a known statistic", "none of this name", "exact"


def _at(values: NDArray[Any], index: list[int]) -> float:
    inside = len(index) == values.ndim and all(
        0 <= i < size for i, size in zip(index, values.shape, strict=False)
    )
    return float(values[tuple(index)]) if inside else math.nan


def _difference(expected: Any, actual: Any, kind: str) -> float:
    """The largest difference of two nested lists, infinite where their forms differ."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping) and kind != "exact":
        if expected.keys() != actual.keys():
            return math.inf
        expected, actual = (list(map(side.get, expected)) for side in (expected, actual))
    if isinstance(expected, (list, tuple)):
        if not isinstance(actual, (list, tuple)) or len(expected) != len(actual):
            return math.inf
        differences = [_difference(e, a, kind) for e, a in zip(expected, actual, strict=True)]
        return sum(differences) if kind == "exact" else max(differences, default=0.0)
    if kind == "exact":
        return 0.0 if type(expected) is type(actual) and expected == actual else 1.0
    if isinstance(expected, bool) or not isinstance(expected, (int, float)):
        return math.inf
    if not isinstance(actual, (int, float)):
        return math.inf
    difference = abs(expected - actual)
    difference = math.inf if math.isnan(difference) else difference
    return difference / max(1.0, abs(expected)) if kind == "sum" else difference


def _explain(expected: Any, actual: Any, difference: float, kind: str) -> str:
    if kind == "exact":
        where = _first_unequal(expected, actual)
        return f"expected {_short(expected)}, got {_short(actual)}{where}"
    allowed = f"{TOLERANCES[kind]:g} allowed"
    return f"expected {_short(expected)}, got {_short(actual)}: off by {difference:.3g}, {allowed}"


def _first_unequal(expected: Any, actual: Any) -> str:
    if not isinstance(expected, list) or not isinstance(actual, list):
        return ""
    if len(expected) != len(actual):
        return f" (length {len(expected)} against {len(actual)})"
    pairs = enumerate(zip(expected, actual, strict=True))
    index = next((i for i, (left, right) in pairs if left != right), 0)
    return f" (first at {index}: {_short(expected[index])} against {_short(actual[index])})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
