"""How far a figure can be trusted: intervals, bounds, and the comparison of two runs.

Wilson's interval for the share of right answers among unrelated items (Wilson, J. Am. Stat. Assoc.
22, 1927). Otherwise whole clusters (`Scorer.cluster`: a picture, a group) are resampled: with
replacement for means (Efron and Tibshirani, An Introduction to the Bootstrap, 1993), and by halves
without replacement for figures that are no means, such as MME's pairs, whose groups must not occur
twice (Saigo, Shao and Sitter, Survey Methodology 27, 2001). Drawn with a fixed seed: the same
verdicts have the same intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from valley.evaluate.items import Figure, Scored, Scorer, Verdict

SEED = 20_250_101
#: Resamples of a mean, and of what must be computed anew from the verdicts.
DRAWS, HALVES = 1000, 400
#: Two-sided, 95 %.
Z = NormalDist().inv_cdf(0.975)
PERCENTILES = (2.5, 97.5)

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


def wilson(right: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` out of `number`, both ends in 0..1."""
    if not number:
        return 0.0, 1.0
    share, spread = right / number, Z * Z / number
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / number + spread / (4 * number)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided probability that two equally good runs differ this much: how many items
    only the one and only the other got right (McNemar, Psychometrika 12, 1947)."""
    number, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(number, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**number) if number else 1.0


def figures(scorer: Scorer, scored: Sequence[Scored]) -> tuple[Figure, ...]:
    """The figures of verdicts with intervals and bounds, in the scorer's order.

    A figure without a value, such as a mean over nothing, is left out.
    """
    value, full = scorer.figures(scored), scorer.figures(_all(scored, right=True))
    least = scorer.figures(_open(scored, right=False))
    most = scorer.figures(_open(scored, right=True))
    intervals = _intervals(scorer, scored, {n: v for n, v in value.items() if math.isfinite(v)})
    return tuple(
        Figure(
            name=name,
            value=float(value[name]),
            low=min(low, float(value[name])),
            high=max(high, float(value[name])),
            least=float(min(least[name], value[name])),
            most=float(max(most[name], value[name])),
            full=float(full[name]),
        )
        for name, (low, high) in intervals.items()
    )


def _intervals(
    scorer: Scorer, scored: Sequence[Scored], value: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    clusters = _clusters(scorer, scored)
    means = plain_means(scorer, scored)
    sampled = replicates(scorer, [scored], means)
    scores = _scores(scored)
    full = scorer.figures(_all(scored, right=True))
    none = scorer.figures(_all(scored, right=False))
    found = {}
    for name, point in value.items():
        rows = means.get(name)
        alone = rows is not None and len(np.unique(clusters[rows])) == len(rows)
        if rows is not None and alone and np.isin(scores[rows], (0.0, 1.0)).all():
            low, high = wilson(scores[rows].sum(), len(rows))
        elif point in (none[name], full[name]):
            # Where all clusters agree no resample differs: what is left is how many they are.
            number = len(np.unique(clusters if rows is None else clusters[rows]))
            low, high = wilson(number if point == full[name] else 0, number)
        else:
            ends = np.nanpercentile(sampled[name][0], PERCENTILES)
            found[name] = (float(ends[0]), float(ends[1]))
            continue
        width = full[name] - none[name]
        found[name] = (float(none[name] + low * width), float(none[name] + high * width))
    return found


def plain_means(scorer: Scorer, scored: Sequence[Scored]) -> dict[str, Rows]:
    """The figures that are the mean of some items' scores, whatever the scores are, and the
    positions of these items.

    Found by trying: the scorer is asked for its figures of two columns of random scores, and each
    is compared with the means over all items and over those that share a cell's value.
    """
    draw = np.random.default_rng(SEED)
    columns = draw.random((2, len(scored)))
    full = scorer.figures(_all(scored, right=True))
    tried = [scorer.figures(_with(scored, column)) for column in columns]
    found: dict[str, Rows] = {}
    for rows in _groups(scored):
        means = columns[:, rows].mean(axis=1)
        for name in full.keys() - found.keys():
            if all(
                math.isclose(t.get(name, math.nan), full[name] * mean, rel_tol=1e-9)
                for t, mean in zip(tried, means, strict=True)
            ):
                found[name] = rows
    return found


def _groups(scored: Sequence[Scored]) -> Iterator[Rows]:
    """All items; then those with the same value in a cell, for each value of each cell that is
    like a category: shared by two items on average, or fewer than a hundred values."""
    yield np.arange(len(scored))
    for cell in sorted({name for one in scored for name in one.item.cells}):
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(scored):
            if cell in one.item.cells:
                rows.setdefault(one.item.cells[cell], []).append(row)
        if len(rows) <= max(100, len(scored) // 50):
            yield from (np.array(positions) for positions in rows.values())


def replicates(
    scorer: Scorer, runs: Sequence[Sequence[Scored]], means: Mapping[str, Rows]
) -> dict[str, Floats]:
    """What the figures would be with other items of the same kind, `[runs, draws]` each; the runs
    score the same items, and all see the same draws."""
    full = scorer.figures(_all(runs[0], right=True))
    clusters = _clusters(scorer, runs[0])
    scores = np.stack([_scores(run) for run in runs])
    sampled = {
        name: full[name] * _mean_draws(scores[:, rows], clusters[rows])
        for name, rows in means.items()
    }
    if full.keys() - sampled.keys():
        halves = _half_draws(scorer, runs, clusters)
        sampled |= {name: halves[name] for name in full.keys() - sampled.keys()}
    return sampled


def _mean_draws(scores: Floats, clusters: Rows) -> Floats:
    """Means `[runs, draws]` over clusters drawn with replacement from those of `scores`, `[runs,
    items]`."""
    draw = np.random.default_rng(SEED)
    _, which = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(which)
    sums = np.stack([np.bincount(which, run) for run in scores])
    out = np.empty((len(scores), DRAWS))
    for number in range(DRAWS):
        chosen = draw.integers(0, len(sizes), len(sizes))
        out[:, number] = sums[:, chosen].sum(axis=1) / sizes[chosen].sum()
    return out


def _half_draws(
    scorer: Scorer, runs: Sequence[Sequence[Scored]], clusters: Rows
) -> dict[str, Floats]:
    """Figures `[runs, draws]` of halves of the clusters, which scatter as those of the whole do.

    A half may have another range than the whole, as a sum has: each figure is stretched from the
    range of its half, all wrong to all right, onto that of the whole.
    """
    draw = np.random.default_rng(SEED)
    number = int(clusters.max()) + 1
    wrong, right = _all(runs[0], right=False), _all(runs[0], right=True)
    bottom, top = scorer.figures(wrong), scorer.figures(right)
    out = {name: np.full((len(runs), HALVES), np.nan) for name in top}
    for column in range(HALVES if number > 1 else 0):
        chosen = np.zeros(number, dtype=bool)
        chosen[draw.permutation(number)[: number // 2]] = True
        rows = np.flatnonzero(chosen[clusters])
        low, high = (scorer.figures([run[row] for row in rows]) for run in (wrong, right))
        for index, run in enumerate(runs):
            half = scorer.figures([run[row] for row in rows])
            for name in half.keys() & out.keys():
                width = high[name] - low[name]
                share = (half[name] - low[name]) / width if width else math.nan
                out[name][index, column] = bottom[name] + share * (top[name] - bottom[name])
    return out


@dataclass(frozen=True)
class Difference:
    """A figure of two runs over the same items: `second - first`, its 95 % interval, and the share
    of resamples (two-sided) in which the sign is not the one seen."""

    name: str
    first: float
    second: float
    low: float
    high: float
    chance: float

    @property
    def value(self) -> float:
        return self.second - self.first


@dataclass(frozen=True)
class Comparison:
    """Two runs over the same items. `only_first`, `only_second`: items that one run got wholly
    right and the other did not; `chance`: McNemar's exact probability of so uneven a split."""

    samples: int
    differences: tuple[Difference, ...]
    only_first: int
    only_second: int
    chance: float


def compare(scorer: Scorer, first: Sequence[Scored], second: Sequence[Scored]) -> Comparison:
    """Compare two runs item by item. Raises ValueError where they have no items in common."""
    other = {one.item.id: one for one in second}
    pairs = [(one, other[one.item.id]) for one in first if one.item.id in other]
    if not pairs:
        raise ValueError("the two runs have no items in common: compare runs of one benchmark")
    runs = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    values = [scorer.figures(run) for run in runs]
    sampled = replicates(scorer, runs, plain_means(scorer, runs[0]))
    right = np.stack([_scores(run) for run in runs]) == 1
    only = [int((right[k] & ~right[1 - k]).sum()) for k in (0, 1)]
    return Comparison(
        samples=len(pairs),
        differences=tuple(
            _difference(name, values[0][name], values[1][name], sampled[name])
            for name in values[0]
            if math.isfinite(values[0][name]) and math.isfinite(values[1][name])
        ),
        only_first=only[0],
        only_second=only[1],
        chance=mcnemar(*only),
    )


def _difference(name: str, first: float, second: float, sampled: Floats) -> Difference:
    drawn = (sampled[1] - sampled[0])[~np.isnan(sampled[0])]
    if not len(drawn):
        return Difference(name, first, second, -math.inf, math.inf, 1.0)
    low, high = np.percentile(drawn, PERCENTILES)
    beyond = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return Difference(name, first, second, float(low), float(high), float(min(1.0, 2 * beyond)))


def _scores(scored: Sequence[Scored]) -> Floats:
    return np.array([one.verdict.score for one in scored], dtype=float)


def _clusters(scorer: Scorer, scored: Sequence[Scored]) -> Rows:
    """The number of each item's cluster, counted from 0."""
    names = [scorer.cluster(one.item) for one in scored]
    return np.unique(names, return_inverse=True)[1]


def _with(scored: Sequence[Scored], scores: Sequence[float] | Floats) -> list[Scored]:
    """The items with other scores; a right one was read as the answer, another as nothing."""
    return [
        Scored(one.item, Verdict(float(score), one.item.answer if score == 1 else None))
        for one, score in zip(scored, scores, strict=True)
    ]


def _all(scored: Sequence[Scored], right: bool) -> list[Scored]:
    return _with(scored, [float(right)] * len(scored))


def _open(scored: Sequence[Scored], right: bool) -> list[Scored]:
    """The verdicts with all that is unresolved or missing as right, or as wrong."""
    return [
        one if one.verdict.resolved else decided
        for one, decided in zip(scored, _all(scored, right), strict=True)
    ]
