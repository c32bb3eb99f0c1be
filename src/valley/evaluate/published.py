"""Published figures beside which a run is shown, and the averages that were made of them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Table:
    """A published table of a line of models, whose `own` it holds beside others.

    `models`: a row of values for each, as printed, NaN where there is none. `full`: where the scale
    of a column ends, if not at 100.
    """

    name: str
    line: str
    own: tuple[str, ...]
    source: str
    note: str
    columns: tuple[str, ...]
    models: Mapping[str, tuple[float, ...]]
    full: Mapping[str, float] = field(default_factory=dict)

    def percents(self, model: str) -> dict[str, float]:
        """The values of a model by column, on a scale to 100, those that are there."""
        row = zip(self.columns, self.models[model], strict=True)
        return {
            name: 100 * value / self.full.get(name, 100)
            for name, value in row
            if not math.isnan(value)
        }


@dataclass(frozen=True)
class Published:
    """One number of a table, on a scale to 100."""

    model: str
    percent: float
    table: Table

    @property
    def own(self) -> bool:
        """Whether the model is of the table's line."""
        return self.model in self.table.own


#: Columns of which an average is the mean, each on a scale to 100. OpenCompass takes MMBench as the
#: mean of two languages; the other three are those of the model card of SAIL-VL-1.6-8B.
AVERAGES: dict[str, tuple[str, ...]] = {
    "OpenCompass average": (
        "MMBench", "MMStar", "MMMU", "MathVista", "HallusionBench", "AI2D", "OCRBench", "MMVet",
    ),
    "Total average": (
        "MMBench", "MathVista", "MMStar", "MMMU", "MMVet", "HallusionBench", "AI2D", "OCRBench",
        "RealWorldQA", "InfoVQA", "ChartQA", "MME", "DocVQA", "TextVQA",
    ),
    "General QA average": ("MMBench", "MMStar", "MMMU", "RealWorldQA", "MME"),
    "OCR average": ("AI2D", "OCRBench", "InfoVQA", "ChartQA", "DocVQA", "TextVQA"),
}  # fmt: skip


def average(name: str, percents: Mapping[str, float]) -> float | None:
    """An average of `AVERAGES` over columns; None where one of them is missing."""
    columns = AVERAGES[name]
    if not percents.keys() >= set(columns):
        return None
    return math.fsum(percents[column] for column in columns) / len(columns)


def columns_of(percents: Mapping[str, float]) -> dict[str, float]:
    """Figures by benchmark as figures by column of the published tables: the mean of those of its
    benchmarks that are there."""
    found = {
        column: [percents[name] for name in names if name in percents]
        for column, names in benchmarks_of_columns().items()
    }
    return {column: math.fsum(got) / len(got) for column, got in found.items() if got}


def published(benchmark: str, line: str | None = None) -> Iterator[Published]:
    """Every published number to show beside a benchmark; of one line of models, if it is given."""
    columns = [c for c, names in benchmarks_of_columns().items() if benchmark in names]
    for table in tables():
        for column in columns if line in (None, table.line) else ():
            for model in table.models:
                if column in (percents := table.percents(model)):
                    yield Published(model, percents[column], table)


def tables() -> tuple[Table, ...]:
    return _read()[0]


def benchmarks_of_columns() -> dict[str, tuple[str, ...]]:
    """The benchmarks that a column of the tables is about, by its name."""
    return _read()[1]


@cache
def _read() -> tuple[tuple[Table, ...], dict[str, tuple[str, ...]]]:
    data = tomllib.loads(files("valley.evaluate").joinpath("published.toml").read_text("utf-8"))
    rows = [
        {
            **table,
            "columns": tuple(table["columns"]),
            "own": tuple(table["own"]),
            "models": {name: tuple(map(float, row)) for name, row in table["models"].items()},
        }
        for table in data["tables"]
    ]
    names = {column: tuple(benchmarks) for column, benchmarks in data["benchmarks"].items()}
    return tuple(Table(**row) for row in rows), names
