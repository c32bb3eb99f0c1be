"""A benchmark's table as items: words in memory, pictures on the disk until they are asked for.

The format is VLMEvalKit's: one UTF-8 file, tab separated, `image` in base64, or a list of such, or
the index of a row that holds the same picture; or pictures as files named in `image_path`.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from PIL.Image import Image as Picture

from valley.data.reading import Skipped
from valley.evaluate.benchmarks import Benchmark
from valley.evaluate.items import Item
from valley.evaluate.roundtrip import MISSING
from valley.evaluate.rows import Checksums, Row, rows
from valley.media.images import open_as_stored
from valley.media.limits import DEFAULT, Limits, refusal
from valley.types import MediaSource

#: Characters up to which a cell of pictures names another row instead.
REFERENCE = 64
#: Characters of a cell of words. The longest of the published tables have some thousand.
MAX_WORDS = 2**20
_QUOTED = re.compile(r"""(['"])([A-Za-z0-9+/=\s]*)\1""")


@dataclass(frozen=True)
class Stored:
    """A picture in a table, opened like a file.

    `start`: the first byte of its row; `number`: its place in the list of the cell, None where the
    cell is the picture. `digest`: SHA-256 of the cell. `recompress`: whether published code sees it
    after saving it as a JPEG file.
    """

    path: Path
    start: int
    column: int
    number: int | None
    digest: str
    recompress: bool = False

    def read_bytes(self) -> bytes:
        """The bytes of the picture. Raises ValueError where the table has changed since."""
        cell = next(rows(self.path, self.start)).cells[self.column]
        if _digest(cell) != self.digest:
            raise refusal(self.path, "has changed while it was in use: start again")
        text = cell if self.number is None else _pictures_in(cell)[self.number]
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise refusal(self.path, f"its base64 text is damaged ({error})") from error


@dataclass(frozen=True)
class Table:
    """The items of a file. `skipped`: rows without a usable picture, counted and named."""

    path: Path
    items: tuple[Item, ...]
    skipped: Skipped
    sha256: str
    md5: str


@dataclass
class _Draft:
    """What reading gathers: words by column, and for each row the cell of its pictures."""

    columns: dict[str, list[str]]
    lines: list[int] = field(default_factory=list)
    pictures: list[Stored | str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


def read_table(path: Path, benchmark: Benchmark, root: Path | None = None) -> Table:
    """The table of a benchmark. Pictures and clips that are files lie below `root`, by default the
    folder of the table, or below a folder in it that is called as the benchmark.

    Raises ValueError for a file that is no table, lacks a column, or uses an index twice.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not there: get it, or name its folder with --data")
    checksums = Checksums()
    draft = _gather(path, benchmark, checksums)
    ids = draft.columns.pop("index")
    _check_ids(path, ids, draft.lines)
    skipped = Skipped()
    media = _Media(path, benchmark, root or path.parent, draft, ids)
    items = []
    for number, index in enumerate(ids):
        cells = {name: cell for name, column in draft.columns.items() if (cell := column[number])}
        try:
            items.append(Item(index, cells, media.of(number, cells)))
        except ValueError as error:
            skipped.add(f"{path}:{draft.lines[number]} (index {index})", str(error))
    hexes = checksums.sha256.hexdigest(), checksums.md5.hexdigest()
    return Table(path, tuple(items), skipped, *hexes)


def open_picture(source: MediaSource, limits: Limits = DEFAULT) -> Picture:
    """A picture as published evaluations see it: neither turned nor laid on white, and after a
    second compression where they save a JPEG file first. Raises MediaError."""
    picture = open_as_stored(source, limits)
    if not (isinstance(source, Stored) and source.recompress):
        return picture
    saved = BytesIO()
    picture.save(saved, "JPEG")
    return open_as_stored(saved.getvalue(), limits)


def digest_of(source: MediaSource) -> str:
    """SHA-256 (or a name made of it) of a picture or clip of a table."""
    if isinstance(source, Stored):
        return f"{source.digest}:{source.number}:{source.recompress:d}"
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_in(cell: str) -> list[str] | None:
    """The strings of a cell that writes a list of such; None for any other cell."""
    if not cell.startswith("[") or len(cell) > MAX_WORDS:
        return None
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return [str(entry) for entry in value] if isinstance(value, list) else None


def _gather(path: Path, benchmark: Benchmark, checksums: Checksums) -> _Draft:
    found = rows(path, checksums=checksums)
    header = next(found, Row(1, 0, [])).cells
    _check_columns(path, header, benchmark)
    place = header.index("image") if "image" in header else None
    draft = _Draft({name: [] for name in header if name != "image"})
    for row in found:
        if len(row.cells) > len(header):
            raise ValueError(
                f"{path}:{row.line}: {len(row.cells)} cells under {len(header)} names: quote "
                "cells that hold tabs"
            )
        cells = row.cells + [""] * (len(header) - len(row.cells))
        draft.lines.append(row.line)
        for name, cell in zip(header, cells, strict=True):
            if name == "image":
                continue
            if len(cell) > MAX_WORDS:
                raise ValueError(f"{path}:{row.line}: {name} holds {len(cell)} characters")
            draft.columns[name].append(cell)
        if place is not None:
            draft.pictures.append(_picture(path, row.start, place, cells[place]))
            draft.counts.append(len(_pictures_in(cells[place])))
    return draft


def _picture(path: Path, start: int, column: int, cell: str) -> Stored | str:
    """Where the pictures of a cell are, or the short text that names another row's."""
    if len(cell) <= REFERENCE:
        return cell
    return Stored(path, start, column, None, _digest(cell))


def _pictures_in(cell: str) -> list[str]:
    """The base64 texts of a cell that lists some; [] for one that is a picture."""
    return [match[2] for match in _QUOTED.finditer(cell)] if cell.startswith("[") else []


class _Media:
    """The pictures and clips of rows."""

    def __init__(
        self, path: Path, benchmark: Benchmark, root: Path, draft: _Draft, ids: Sequence[str]
    ) -> None:
        self.path, self.benchmark, self.draft = path, benchmark, draft
        self.roots = (root / "images" / benchmark.name, root / benchmark.name, root)
        self.rows = {index: number for number, index in enumerate(ids)}

    def of(self, number: int, cells: Mapping[str, str]) -> tuple[MediaSource, ...]:
        """Raises ValueError where a row has none."""
        if self.benchmark.medium == "video":
            return (self._file(_clip_name(cells)),)
        names = list_in(cells.get("image_path", "")) or [cells.get("image_path", "")]
        if stored := list(self._stored(number)):
            names = names if len(names) == len(stored) else [""] * len(stored)
            return tuple(
                replace(picture, recompress=name.lower().endswith((".jpg", ".jpeg")))
                for picture, name in zip(stored, names, strict=True)
            )
        return tuple(self._file(name) for name in names)

    def _stored(self, number: int) -> Iterator[Stored]:
        cell = self.draft.pictures[number] if self.draft.pictures else ""
        if isinstance(cell, str) and cell not in MISSING:
            if (number := self.rows.get(cell, -1)) < 0:
                raise ValueError(f"no picture: row {cell!r}, whose picture it shares, is not there")
            cell = self.draft.pictures[number]
        if isinstance(cell, str):
            if cell in MISSING:
                return
            raise ValueError(f"no picture: it shares that of a row that shares {cell!r}'s")
        count = self.draft.counts[number]
        yield from (replace(cell, number=i) for i in range(count)) if count else (cell,)

    def _file(self, name: str) -> Path:
        """A file by its name in the table, in the first of the folders that has it."""
        if not name:
            raise ValueError(f"no {'clip' if self.benchmark.medium == 'video' else 'picture'}")
        found = next((root / name for root in self.roots if (root / name).is_file()), None)
        if found is None:
            raise ValueError(f"no such file: {name}")
        if not found.resolve().is_relative_to(self.roots[-1].resolve()):
            raise ValueError(f"outside the data folder: {name}")
        return found


def _clip_name(cells: Mapping[str, str]) -> str:
    """The file of a clip: `video_path`, or its name between a `prefix` and a `suffix`."""
    if path := cells.get("video_path"):
        return path
    name = cells.get("video", "")
    return f"{cells.get('prefix', '')}{name}{cells.get('suffix', '')}" if name else ""


def _check_columns(path: Path, header: Sequence[str], benchmark: Benchmark) -> None:
    media = ("video", "video_path") if benchmark.medium == "video" else ("image", "image_path")
    missing = [name for name in benchmark.columns if name not in header]
    if not set(media) & set(header):
        missing.append(" or ".join(media))
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}, which {benchmark.name} needs: it has "
            + ", ".join(header)[:200]
        )
    if twice := {name for name in header if header.count(name) > 1}:
        raise ValueError(f"{path} has the column {min(twice)} twice: keep one")


def _check_ids(path: Path, ids: Sequence[str], lines: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for index, line in zip(ids, lines, strict=True):
        if not index:
            raise ValueError(f"{path}:{line}: the row has no index")
        if index in seen:
            raise ValueError(
                f"{path}: lines {seen[index]} and {line} have the same index {index}: give each "
                "row its own"
            )
        seen[index] = line


def _digest(cell: str) -> str:
    return hashlib.sha256(cell.encode()).hexdigest()
