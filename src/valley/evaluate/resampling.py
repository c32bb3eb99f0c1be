"""What the figures of a run would be with other items of the same kind, by drawing from its own.

Whole clusters are drawn (`Scorer.cluster`: a picture, a group): with replacement where a figure is
a mean (Efron and Tibshirani, An Introduction to the Bootstrap, 1993); by halves without replacement
where it is none, such as MME's pairs, whose groups must not occur twice (Saigo, Shao and Sitter,
Survey Methodology 27, 2001). The seed is fixed: the same verdicts have the same intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from valley.evaluate.items import Scored, Scorer, Verdict

SEED = 20_250_101
#: Draws of a mean.
DRAWS = 1000
#: Halves, whose figures are computed anew: at least, at most, and verdicts to look at in all.
FEWEST, MOST, VERDICTS = 200, 400, 1_000_000
#: Halves whose range is looked at before it is taken for that of all.
PROBES = 20

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class Resampler:
    """Draws from the items of one benchmark.

    `bottom`, `top`: the figures if all replies were wrong, or right. `means`: the figures that are
    the mean of some items' scores, and the positions of these items. `clusters`: the number of each
    item's cluster, counted from 0.
    """

    def __init__(self, scorer: Scorer, scored: Sequence[Scored]) -> None:
        self._scorer = scorer
        self._wrong, self._right = with_scores(scored, 0.0), with_scores(scored, 1.0)
        self.bottom, self.top = scorer.figures(self._wrong), scorer.figures(self._right)
        names = [scorer.cluster(one.item) for one in scored]
        self.clusters: Rows = np.unique(names, return_inverse=True)[1]
        self.means = self._find_means(scored)

    def _find_means(self, scored: Sequence[Scored]) -> dict[str, Rows]:
        """By trying: the scorer is asked for its figures of two columns of random scores, and each
        is compared with the means over all items and over those that share a cell's value."""
        columns = np.random.default_rng(SEED).random((2, len(scored)))
        tried = [self._scorer.figures(with_scores(scored, *column)) for column in columns]
        found: dict[str, Rows] = {}
        for rows in _groups(scored):
            means = columns[:, rows].mean(axis=1)
            for name in self.top.keys() - found.keys():
                if all(
                    math.isclose(got.get(name, math.nan), self.top[name] * mean, rel_tol=1e-9)
                    for got, mean in zip(tried, means, strict=True)
                ):
                    found[name] = rows
        return found

    def draw(self, *runs: Sequence[Scored]) -> dict[str, Floats]:
        """Each figure as drawn, `[runs, draws]`. The runs score the same items and see the same
        draws. NaN where a draw leaves a figure without items."""
        scores = np.stack([scores_of(run) for run in runs])
        drawn = {
            name: self.top[name] * _draw_means(scores[:, rows], self.clusters[rows])
            for name, rows in self.means.items()
        }
        if self.top.keys() - drawn.keys():
            drawn = self._draw_halves(runs) | drawn
        return drawn

    def _draw_halves(self, runs: Sequence[Sequence[Scored]]) -> dict[str, Floats]:
        """Figures of half of the clusters scatter as those of all do between benchmarks.

        A half may have another range than the whole, as a sum has: each figure is stretched from
        the range of its half, all wrong to all right, onto that of the whole.
        """
        halves = self._halves()
        drawn = {name: np.full((len(runs), len(halves)), np.nan) for name in self.top}
        same = self._range_stays(halves[:PROBES])
        for column, rows in enumerate(halves):
            low, high = (self.bottom, self.top) if same else self._range(rows)
            for index, run in enumerate(runs):
                half = self._scorer.figures([run[row] for row in rows])
                for name in half.keys() & drawn.keys():
                    ends = self.bottom[name], self.top[name]
                    drawn[name][index, column] = _stretch(half[name], low[name], high[name], *ends)
        return drawn

    def _halves(self) -> list[list[int]]:
        """Positions of the items of half of the clusters, drawn time and again; the more items
        there are, the fewer times. None of a single cluster."""
        random = np.random.default_rng(SEED)
        number = int(self.clusters.max()) + 1
        times = min(MOST, max(FEWEST, VERDICTS // len(self.clusters)))
        halves = []
        for _ in range(times if number > 1 else 0):
            chosen = np.zeros(number, dtype=bool)
            chosen[random.permutation(number)[: number // 2]] = True
            halves.append(np.flatnonzero(chosen[self.clusters]).tolist())
        return halves

    def _range(self, rows: Sequence[int]) -> tuple[dict[str, float], dict[str, float]]:
        """The figures of some items if all replies were wrong, or right."""
        wrong, right = ([run[row] for row in rows] for run in (self._wrong, self._right))
        return self._scorer.figures(wrong), self._scorer.figures(right)

    def _range_stays(self, halves: Sequence[Sequence[int]]) -> bool:
        """Whether halves have the range of the whole, so that it need not be computed for each."""
        ranges = map(self._range, halves)
        return all(low == self.bottom and high == self.top for low, high in ranges)


def _stretch(value: float, low: float, high: float, bottom: float, top: float) -> float:
    """A value between low and high, which may be one point, as one between bottom and top."""
    return value if high == low else bottom + (value - low) / (high - low) * (top - bottom)


def _draw_means(scores: Floats, clusters: Rows) -> Floats:
    """Means of `scores`, `[runs, items]`, over clusters drawn with replacement, `[runs, draws]`."""
    random = np.random.default_rng(SEED)
    which = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(which)
    sums = np.stack([np.bincount(which, run) for run in scores])
    drawn = np.empty((len(scores), DRAWS))
    for column in range(DRAWS):
        chosen = random.integers(0, len(sizes), len(sizes))
        drawn[:, column] = sums[:, chosen].sum(axis=1) / sizes[chosen].sum()
    return drawn


def _groups(scored: Sequence[Scored]) -> Iterator[Rows]:
    """All items; then, for each cell with few values, those that share a value."""
    yield np.arange(len(scored))
    for cell in sorted({name for one in scored for name in one.item.cells}):
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(scored):
            if cell in one.item.cells:
                rows.setdefault(one.item.cells[cell], []).append(row)
        if len(rows) <= max(100, len(scored) // 50):
            yield from (np.array(positions) for positions in rows.values())


def scores_of(scored: Sequence[Scored]) -> Floats:
    return np.array([one.verdict.score for one in scored], dtype=float)


def with_scores(scored: Sequence[Scored], *scores: float) -> list[Scored]:
    """The items with other scores, one for each or one for all. A right reply was read as the
    answer, another as nothing."""
    column = scores * len(scored) if len(scores) == 1 else scores
    return [
        Scored(one.item, Verdict(float(score), one.item.answer if score == 1 else None))
        for one, score in zip(scored, column, strict=True)
    ]
