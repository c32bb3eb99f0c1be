"""Data files of other projects, read as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from valley.data.formats.chats import QUESTIONS, conversations, swift, table, trl
from valley.data.lines import Lines
from valley.data.reading import Row, Skipped, kind_of, read
from valley.data.records import FIELDS, from_record
from valley.types import Sample

FORMATS: Mapping[str, Callable[[Row], Sample]] = {
    "record": from_record,
    "llava": conversations,
    "sharegpt": conversations,
    "swift": swift,
    "trl": trl,
    "table": table,
}


def read_samples(
    path: str | os.PathLike[str],
    format: str | None = None,
    media_root: str | os.PathLike[str] | None = None,
    skipped: Skipped | None = None,
) -> Iterator[Sample]:
    """The samples of a data file. `format` is one of FORMATS; by default every row tells its own.

    Other arguments and errors as in `reading.read`.
    """
    return read(path, converter(format), media_root, skipped)


def open_samples(
    path: str | os.PathLike[str],
    format: str | None = None,
    media_root: str | os.PathLike[str] | None = None,
    skipped: Skipped | None = None,
) -> Sequence[Sample]:
    """As `read_samples`, by number. Of a file of JSON lines nothing is kept but where they begin,
    and a broken one raises DataError when it is asked for; others are read whole."""
    path = Path(path)
    if kind_of(path) != "lines":
        return list(read_samples(path, format, media_root, skipped))
    return Lines(path, converter(format), Path(media_root or path.parent))


def converter(format: str | None) -> Callable[[Row], Sample]:
    """What makes a sample of a row of a format, or of one that tells its own."""
    if format is not None and format not in FORMATS:
        raise ValueError(f"unknown format {format!r}: use one of {', '.join(FORMATS)}")
    return lambda row: FORMATS[format or format_of(row)](row)


def format_of(row: Row) -> str:
    """The format of a row, by its fields. Raises ValueError where none fits.

    A prompt with an `answer` alone is a table, whose answer is the reply; data for rewards keep it
    in `meta` either way.
    """
    if "conversations" in row:
        return "llava"
    if isinstance(messages := row.get("messages"), list):
        if any(
            isinstance(turn, Mapping) and isinstance(turn.get("content"), str) for turn in messages
        ):
            return "swift"
        return "record" if row.keys() <= FIELDS else "trl"
    if "query" in row:
        return "swift"
    asked = next((row[name] for name in QUESTIONS if name in row), None)
    if row.keys() & {"chosen", "completion"} or isinstance(asked, list):
        return "trl"
    if asked is not None:
        return "table"
    raise ValueError(
        f"no known layout has these fields: {', '.join(map(str, row))} (rename them, or name the "
        "format)"
    )
