"""Scored benchmarks beside published figures and beside another run; what every form shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from valley.evaluate.items import Figure, Scorer
from valley.evaluate.published import (
    AVERAGES,
    Published,
    average,
    columns_of,
    published,
    tables,
)
from valley.evaluate.report.gathering import Result
from valley.evaluate.statistics import Comparison, compare

#: (profile, benchmark) -> how that profile scores it.
ScorerOf: TypeAlias = Callable[[str, str], Scorer]


@dataclass(frozen=True)
class Row:
    """A benchmark in one profile. `published`: of the same line of models, its own ones first."""

    result: Result
    published: tuple[Published, ...]
    comparison: Comparison | None

    @property
    def main(self) -> Figure:
        return self.result.scores.figures[0]

    @property
    def own(self) -> tuple[Published, ...]:
        return tuple(one for one in self.published if one.own)


@dataclass(frozen=True)
class Average:
    """A mean over benchmarks in one profile, to 100, and the `ends` of its 95 % interval; both None
    where some of its benchmarks are `missing`. `published`: (model, value, table)."""

    name: str
    profile: str
    value: float | None
    ends: tuple[float, float] | None
    missing: tuple[str, ...]
    published: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class Summary:
    """`other`: the name of the run that this one is compared with."""

    model: str
    other: str | None
    rows: tuple[Row, ...]
    averages: tuple[Average, ...]

    def record(self) -> dict[str, Any]:
        """The summary for JSON."""
        return {
            "model": self.model,
            "against": self.other,
            "benchmarks": [_row_record(row) for row in self.rows],
            "averages": [asdict(average) for average in self.averages],
        }


def _row_record(row: Row) -> dict[str, Any]:
    return {
        **asdict(row.result.scores),
        "percent": row.main.percent,
        "run": row.result.settings,
        "published": [
            {"model": one.model, "percent": one.percent, "table": one.table.name, "own": one.own}
            for one in row.published
        ],
        "comparison": row.comparison and asdict(row.comparison),
    }


def summarise(
    results: Sequence[Result],
    against: Sequence[Result] = (),
    scorer_of: ScorerOf | None = None,
) -> Summary:
    """Raises ValueError where a comparison is asked for and the two runs share no benchmark."""
    others = {result.key: result for result in against}
    if against and not any(result.key in others for result in results):
        raise ValueError(
            "the two runs share no benchmark scored by one profile: nothing to compare"
        )
    rows = tuple(
        Row(
            result,
            _published(result),
            _compared(result, others.get(result.key), scorer_of),
        )
        for result in results
    )
    averages = (
        _average(name, profile, rows)
        for profile in sorted({result.scores.profile for result in results})
        for name in AVERAGES
    )
    return Summary(
        model=_models(results),
        other=_models(against) if others else None,
        rows=rows,
        averages=tuple(average for average in averages if average),
    )


def _models(results: Sequence[Result]) -> str:
    names = {result.model for result in results if result.model}
    return ", ".join(sorted(names)) or "unnamed model"


def _published(result: Result) -> tuple[Published, ...]:
    found = published(result.scores.benchmark, result.line) if result.line else iter(())
    return tuple(sorted(found, key=lambda one: not one.own))


def _compared(
    result: Result, other: Result | None, scorer_of: ScorerOf | None
) -> Comparison | None:
    """The other run is the first of the pair: a gain over it is positive."""
    if other is None or scorer_of is None:
        return None
    scorer = scorer_of(result.scores.profile, result.scores.benchmark)
    return compare(scorer, other.scored, result.scored)


def _average(name: str, profile: str, rows: Sequence[Row]) -> Average | None:
    """An average of one profile; None where the run has fewer than half of its benchmarks."""
    own = [row for row in rows if row.result.scores.profile == profile]
    value, low, high = (
        columns_of({row.result.scores.benchmark: of(row.main) for row in own})
        for of in (_value, _low, _high)
    )
    columns = AVERAGES[name]
    missing = tuple(column for column in columns if column not in value)
    if 2 * len(missing) > len(columns):
        return None
    lines = {row.result.line for row in own}
    mean = average(name, value)
    ends: tuple[float, float] | None = None
    if mean is not None:
        # Limits of a sum of independent figures: Zou and Donner, Statistics in Medicine 27, 2008.
        below, above = (
            math.hypot(*(end[column] - value[column] for column in columns)) / len(columns)
            for end in (low, high)
        )
        ends = mean - below, mean + above
    return Average(name, profile, mean, ends, missing, _published_averages(name, lines))


def _value(figure: Figure) -> float:
    return figure.percent


def _low(figure: Figure) -> float:
    return figure.to_percent(figure.low)


def _high(figure: Figure) -> float:
    return figure.to_percent(figure.high)


def _published_averages(name: str, lines: set[str | None]) -> tuple[tuple[str, float, str], ...]:
    return tuple(
        (model, percents[name], table.name)
        for table in tables()
        if table.line in lines
        for model in table.own
        if name in (percents := table.percents(model))
    )
