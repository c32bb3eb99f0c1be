"""How far a figure can be trusted: intervals, bounds, and the comparison of two runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from valley.evaluate.items import Figure, Scored, Scorer
from valley.evaluate.resampling import Floats, Resampler, scores_of, with_scores

#: Two-sided, 95 %.
Z = NormalDist().inv_cdf(0.975)
PERCENTILES = (2.5, 97.5)


def wilson(right: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` out of `number` unrelated items, both ends in 0..1
    (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    if not number:
        return 0.0, 1.0
    share, spread = right / number, Z * Z / number
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / number + spread / (4 * number)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided probability that two equally good runs differ this much: how many items
    only the one and only the other got right (McNemar, Psychometrika 12, 1947)."""
    number, tail, ways = only_first + only_second, 0, 1
    for k in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (number - k) // (k + 1)
    return min(1.0, 2 * tail / 2**number)


def figures(scorer: Scorer, scored: Sequence[Scored]) -> tuple[Figure, ...]:
    """The figures of verdicts with intervals and bounds, in the scorer's order.

    A figure without a value, such as a mean over nothing, is left out.
    """
    resampler = Resampler(scorer, scored)
    values = {n: float(v) for n, v in scorer.figures(scored).items() if math.isfinite(v)}
    if_wrong, if_right = (scorer.figures(_decided(scored, score)) for score in (0.0, 1.0))
    intervals = _intervals(resampler, scored, values)
    return tuple(
        Figure(
            name=name,
            value=value,
            low=min(*intervals[name], value),
            high=max(*intervals[name], value),
            least=float(min(if_wrong[name], if_right[name], value)),
            most=float(max(if_wrong[name], if_right[name], value)),
            # A rate of mistakes is largest where all is wrong; one of neither end is in percent.
            full=float(max(resampler.bottom[name], resampler.top[name]) or 100),
        )
        for name, value in values.items()
    )


def _decided(scored: Sequence[Scored], score: float) -> list[Scored]:
    """The verdicts with this score for all that is unresolved or missing."""
    decided = with_scores(scored, score)
    return [a if a.verdict.resolved else b for a, b in zip(scored, decided, strict=True)]


def _intervals(
    resampler: Resampler, scored: Sequence[Scored], values: dict[str, float]
) -> dict[str, tuple[float, float]]:
    scores, drawn = scores_of(scored), resampler.draw(scored)
    found = {}
    for name, value in values.items():
        rows = resampler.means.get(name, np.arange(len(scored)))
        clusters = len(np.unique(resampler.clusters[rows]))
        bottom, top = resampler.bottom[name], resampler.top[name]
        alone = name in resampler.means and clusters == len(rows)
        kept = drawn[name][0][~np.isnan(drawn[name][0])]
        if alone and np.isin(scores[rows], (0.0, 1.0)).all():
            low, high = wilson(float(scores[rows].sum()), len(rows))
        elif bottom != top and value in (bottom, top):
            # Where all clusters agree no draw differs: what is left is how many they are.
            low, high = wilson(clusters * (value == top), clusters)
        elif not len(kept):
            low, high = 0.0, 1.0
        else:
            found[name] = _percentiles(kept)
            continue
        found[name] = float(bottom + low * (top - bottom)), float(bottom + high * (top - bottom))
    return found


def _percentiles(drawn: Floats) -> tuple[float, float]:
    low, high = np.percentile(drawn, PERCENTILES)
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A figure of two runs over the same items: `second - first` with its 95 % interval. `chance`:
    how often, two-sided, the draws do not have the sign seen."""

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
    before, after = (scorer.figures(run) for run in runs)
    resampler = Resampler(scorer, runs[0])
    drawn = resampler.draw(*runs)
    right = [scores_of(run) == 1 for run in runs]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Comparison(
        samples=len(pairs),
        differences=tuple(
            Difference(
                name,
                float(before[name]),
                float(after[name]),
                *_spread(drawn[name], resampler.top[name] - resampler.bottom[name]),
            )
            for name in before
            if math.isfinite(before[name]) and math.isfinite(after[name])
        ),
        only_first=only_first,
        only_second=only_second,
        chance=mcnemar(only_first, only_second),
    )


def _spread(drawn: Floats, width: float) -> tuple[float, float, float]:
    """Interval and chance of the difference of two runs, drawn `[2, draws]`."""
    changes = drawn[1] - drawn[0]
    changes = changes[~np.isnan(changes)]
    if not len(changes):  # one cluster, which says nothing of others
        return -float(width), float(width), 1.0
    beyond = min((changes <= 0).sum(), (changes >= 0).sum())
    return *_percentiles(changes), min(1.0, 2 * float(beyond + 1) / (len(changes) + 1))
