"""The rows of a tab-separated file, one in memory at a time, each with where it begins."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Characters of one cell: a list of large pictures. The module's own limit is 128 KiB.
MAX_CELL = 2**28


@dataclass(frozen=True)
class Row:
    """`line`: its number in the file, from 1. `start`: its first byte."""

    line: int
    start: int
    cells: list[str]


@dataclass
class Checksums:
    """Of the bytes that were read. MD5 is what published files are known by; it proves nothing."""

    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    md5: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def update(self, data: bytes) -> None:
        self.sha256.update(data)
        self.md5.update(data)


def rows(path: Path, start: int = 0, checksums: Checksums | None = None) -> Iterator[Row]:
    """The rows from byte `start` on, the header being one. Raises ValueError for what is no table.

    Cells may be quoted and hold line breaks, as spreadsheets and pandas write them.
    """
    csv.field_size_limit(MAX_CELL)
    position, number = start, 0

    def lines() -> Iterator[str]:
        nonlocal position, number
        for line in file:
            if checksums is not None:
                checksums.update(line)
            position, number = position + len(line), number + 1
            yield line.decode("utf-8-sig" if position == len(line) else "utf-8")

    with path.open("rb") as file:
        file.seek(start)
        reader = csv.reader(lines(), delimiter="\t", strict=True)
        while True:
            begin, first = position, number + 1
            try:
                cells = next(reader, None)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}:{number}: not UTF-8 ({error.reason}): save the table as UTF-8"
                ) from None
            except csv.Error as error:
                raise ValueError(f"{path}:{first}: not a table: {error}") from None
            if cells is None:
                return
            if cells:
                yield Row(first, begin, cells)
