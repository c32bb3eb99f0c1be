"""Read a data file row by row: every row that cannot be used is named, none is dropped silently."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from valley.data.rooting import rooted
from valley.types import Sample

Row: TypeAlias = Mapping[str, Any]


class DataError(ValueError):
    """A row that cannot be used; the message is one line: file, place in it, reason."""


@dataclass
class Skipped:
    """What was left out and why. Given to a reader, it makes broken rows counted ones.

    Reasons count as one up to their first colon; `examples` keeps the first places of each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    keep: int = 3

    def add(self, place: str, reason: str) -> None:
        kind = reason.split(":", maxsplit=1)[0]
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < self.keep:
            examples.append(f"{place}: {reason}")

    @property
    def total(self) -> int:
        return self.counts.total()

    def __str__(self) -> str:
        """One line a reason, the most frequent first, each followed by its examples."""
        lines = [f"{self.total} skipped"]
        for kind, number in self.counts.most_common():
            lines += [f"{number} x {kind}", *(f"    {line}" for line in self.examples[kind])]
        return "\n".join(lines)


def read(
    path: str | os.PathLike[str],
    convert: Callable[[Row], Sample],
    media_root: str | os.PathLike[str] | None = None,
    skipped: Skipped | None = None,
) -> Iterator[Sample]:
    """The samples of a JSON Lines, JSON (one array), CSV, TSV or parquet file, in order.

    `convert` makes a sample of a row. Relative media are taken below `media_root`, by default the
    file's folder. Without `skipped` the first bad row raises DataError; with it, bad rows are
    counted there. A file that is broken as a whole raises DataError either way.
    """
    path = Path(path)
    root = path.parent if media_root is None else Path(media_root)
    for place, raw in rows(path):
        try:
            yield sample_of(raw, convert, root)
        except ValueError as error:
            if skipped is None:
                raise DataError(f"{place}: {error}") from error
            skipped.add(place, str(error))


def sample_of(raw: bytes | Row, convert: Callable[[Row], Sample], root: Path) -> Sample:
    """The sample of a row. Raises ValueError with the reason in one line, whatever is wrong."""
    try:
        return rooted(convert(_row(raw)), root)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(_reason(error)) from error


def kind_of(path: Path) -> Literal["parquet", "table", "array", "lines"]:
    """The kind of a data file, which shows in its content; that of a table in its name."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"PAR1"):
        return "parquet"
    if path.suffix.lower() in (".csv", ".tsv"):
        return "table"
    return "array" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[") else "lines"


def rows(path: Path) -> Iterator[tuple[str, bytes | Row]]:
    """The place and content of every row. Lines of JSON are not parsed yet."""
    if (kind := kind_of(path)) == "parquet":
        yield from _parquet(path)
    elif kind == "table":
        yield from _table(path)
    elif kind == "array":
        yield from _array(path)
    else:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line


def _array(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        items = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    for number, item in enumerate(items):
        yield f"{path}[{number}]", item


def _table(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of text; empty cells are left out."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                yield (
                    f"{path}:{reader.line_num}",
                    {name: cell for name, cell in row.items() if cell},
                )
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}:{reader.line_num + 1}: not a table: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: reading parquet needs pyarrow: pip install 'valley-vlm[train]'"
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: not a parquet file: {error}") from error
    number = 0
    with file:
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                given = {name: cell for name, cell in row.items() if cell is not None}
                yield f"{path}[{number}]", given
                number += 1


def _row(raw: bytes | Row) -> Row:
    if isinstance(raw, bytes):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from error
    if not isinstance(raw, Mapping):
        raise ValueError(f"a row must be an object with named fields: got {type(raw).__name__}")
    if None in raw:
        raise ValueError("more cells than column names: quote cells that hold the delimiter")
    return raw


def _reason(error: Exception) -> str:
    """What is wrong with a row; a converter's look-ups fail on malformed ones in any way."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, ValueError) else f"malformed: {type(error).__name__} {text}"
