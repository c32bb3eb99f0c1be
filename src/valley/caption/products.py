"""What is looked at: pictures and clips of a folder, or rows of a data file. None is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from valley.data.formats.placing import as_list, source_of
from valley.data.reading import Row, rows, sample_of
from valley.media.sources import CLIP_SUFFIXES, PICTURE_SUFFIXES
from valley.types import Image, Message, Part, Sample, Text, Video

DATA_SUFFIXES = frozenset((".jsonl", ".json", ".csv", ".tsv", ".parquet"))
#: Columns of media. `frames` are the pictures of one clip.
PICTURES, CLIPS, FRAMES = ("image", "images"), ("video", "videos"), "frames"
#: Columns of words, in the order in which they are told, and what stands before each.
WORDS = {
    "title": "Title",
    "ocr": "Text in the pictures",
    "asr": "Speech",
    "rules": "Rules",
}
FIELDS = frozenset({"id", *PICTURES, *CLIPS, FRAMES, *WORDS})


@dataclass(frozen=True)
class Product:
    """`name`: unique in the input. `root`: the folder that its media must lie below, None for any.
    `problem`: why there is nothing to look at."""

    name: str
    parts: tuple[Part, ...] = ()
    root: Path | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Input:
    """Files, folders of pictures and clips, and data files. Read anew by every loop, so that
    memory holds one product at a time, and all names.

    `root`: where media of data files lie, by default the file's folder. `unused`: columns that
    mean nothing here, with the number of rows that have them, once the input has been read.
    """

    sources: Sequence[Path]
    root: Path | None = None
    unused: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Product]:
        """Raises ValueError for a file that cannot be read as a whole."""
        self.unused.clear()
        for source in self.sources:
            if not source.exists():
                raise ValueError(f"{source}: there is no such file or folder: check the path")
            if source.is_dir():
                yield from _in_folder(source)
            elif source.suffix.lower() in DATA_SUFFIXES:
                yield from self._in_file(source)
            else:
                yield Product(str(source), (_part(source),))

    @cached_property
    def names(self) -> list[str]:
        """The names in order, read once. Raises ValueError for one that comes twice."""
        names = [product.name for product in self]
        for name, times in Counter(names).most_common(1):
            if times > 1:
                raise ValueError(f"{times} products are called {name!r}: give each its own id")
        return names

    def _in_file(self, path: Path) -> Iterator[Product]:
        root = (self.root or path.parent).absolute()
        for place, raw in rows(path):
            yield self._of_row(f"{path.name}{place[len(str(path)) :]}", raw, root)

    def _of_row(self, place: str, raw: bytes | Row, root: Path) -> Product:
        name = place

        def convert(row: Row) -> Sample:
            nonlocal name
            if row.get("id") is not None:
                name = str(row["id"])
            self.unused.update(str(column) for column in row if column not in FIELDS)
            return Sample((Message("user", parts_of(row)),))

        try:
            sample = sample_of(raw, convert, root)
        except ValueError as error:
            return Product(name, problem=str(error))
        return Product(name, sample.messages[0].parts, root)


def parts_of(row: Row) -> tuple[Part, ...]:
    """The media of a row, then its words. Raises ValueError for a row that has neither."""
    parts: list[Part] = [Image(source) for source in _media(row, PICTURES)]
    parts += [Video(source) for source in _media(row, CLIPS)]
    if frames := _media(row, (FRAMES,)):
        parts.append(Video(tuple(frames)))
    told = [f"{title}: {words}" for name, title in WORDS.items() if (words := _words(row, name))]
    if told:
        parts.append(Text("\n".join(told)))
    if not parts:
        raise ValueError(f"nothing to look at: give one of {', '.join(sorted(FIELDS - {'id'}))}")
    return tuple(parts)


def _media(row: Row, columns: Iterable[str]) -> list[Any]:
    return [source_of(item) for column in columns for item in as_list(row.get(column))]


def _words(row: Row, name: str) -> str:
    """A text, or a list of such, one a line."""
    words = row.get(name)
    words = [words] if isinstance(words, str) else words or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{name} must be a text or a list of texts")
    return "\n".join(word.strip() for word in words if word.strip())


def _in_folder(folder: Path) -> Iterator[Product]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURE_SUFFIXES | CLIP_SUFFIXES and path.is_file():
            name = path.relative_to(folder).as_posix()
            yield Product(name, (_part(path.absolute()),), folder.absolute())


def _part(path: Path) -> Part:
    return Video(path) if path.suffix.lower() in CLIP_SUFFIXES else Image(path)
