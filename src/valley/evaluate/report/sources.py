"""Where a report finds what a folder of scored benchmarks does not hold: scorers and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.items import Item, Scorer
from valley.evaluate.profiles import PROFILES
from valley.evaluate.report.samples import ItemsOf
from valley.evaluate.tables import read_table


def scorer_of(profile: str, benchmark: str) -> Scorer:
    """How a profile scores a benchmark. Raises ValueError for names that are not known."""
    kind = benchmark_of(benchmark).kind
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}: score again by {', '.join(PROFILES)}")
    return PROFILES[profile].scorers[kind]


def items_in(data: Path) -> ItemsOf:
    """The items of the tables in a folder, their media with them."""

    def items_of(benchmark: str) -> Sequence[Item]:
        known = benchmark_of(benchmark)
        return read_table(data / known.file, known, data).items

    return items_of
