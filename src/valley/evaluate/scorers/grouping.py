"""Means over the rows of a benchmark, and rows that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from valley.evaluate.items import Item, Scored

#: Names of MMBench's abilities in its published tables.
ABILITIES = {
    "coarse_perception": "CP",
    "finegrained_perception (instance-level)": "FP-S",
    "finegrained_perception (cross-instance)": "FP-C",
    "logic_reasoning": "LR",
    "relation_reasoning": "RR",
    "attribute_reasoning": "AR",
}


def percent(scores: Iterable[float]) -> float:
    """The mean, times 100; NumPy's pairwise sum, whose last digit published scores have."""
    return float(np.mean(list(scores)) * 100)


def accuracy(scored: Sequence[Scored]) -> float:
    return percent(row.verdict.score for row in scored)


def by(scored: Sequence[Scored], column: str) -> dict[str, list[Scored]]:
    """Rows by the value of a column, in the order of the values; rows without one are left out."""
    parts: dict[str, list[Scored]] = {}
    for row in scored:
        if (value := row.item.cells.get(column)) is not None:
            parts.setdefault(value, []).append(row)
    return dict(sorted(parts.items()))


def accuracies(scored: Sequence[Scored]) -> dict[str, float]:
    """ "Overall" and the accuracy of every l2-category and category."""
    figures = {"Overall": accuracy(scored)}
    for column in ("l2-category", "category"):
        for value, rows in by(scored, column).items():
            figures[ABILITIES.get(value, value)] = accuracy(rows)
    return figures


def split_accuracies(scored: Sequence[Scored], main: str | None = None) -> dict[str, float]:
    """The accuracies of the split named `main`, or else of all rows, then those of each split
    where there are several, as `split: name`."""
    parts = by(scored, "split")
    figures = accuracies(parts.get(main or "", scored))
    if len(parts) > 1:
        for split, rows in parts.items():
            figures |= {f"{split}: {name}": value for name, value in accuracies(rows).items()}
    return figures


def groups(scored: Iterable[Scored], key: Callable[[Item], str]) -> list[list[Scored]]:
    """Rows of one key together, in the order of their first row.

    An id that comes again begins another group: a bootstrap that draws a group twice has two.
    """
    found: list[list[Scored]] = []
    open_groups: dict[str, tuple[list[Scored], set[str]]] = {}
    for row in scored:
        name = key(row.item)
        rows, ids = open_groups.get(name, ([], set()))
        if not rows or row.item.id in ids:
            rows, ids = [], set()
            open_groups[name] = rows, ids
            found.append(rows)
        rows.append(row)
        ids.add(row.item.id)
    return found


def all_right(rows: Iterable[Scored]) -> bool:
    return all(row.verdict.score for row in rows)


class Accuracy:
    """A scorer whose rows stand for themselves and whose figures are accuracies."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        return split_accuracies(scored)

    def cluster(self, item: Item) -> str:
        return item.id
