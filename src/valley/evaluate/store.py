"""Records on the disk: one JSON line each, only ever appended, so that a kill loses none.

The last valid line of an item counts. A torn line, as a kill in the middle of a write leaves it, is
passed over, and the next one begins on a line of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from valley.evaluate.items import Answer

#: The files of a run, in the folder of its benchmark.
REPLIES, RECORD = "replies.jsonl", "run.json"
#: Seconds between two waits for the disk. What a killed process wrote is kept without them.
SYNC_EVERY = 1.0
Record = TypeVar("Record")


def read_answers(path: Path) -> dict[str, Answer]:
    """The last answer to each item, in the order in which the items were first answered."""
    return {answer.id: answer for _, answer in read_records(path, Answer)}


def read_records(path: Path, kind: type[Record]) -> Iterator[tuple[int, Record]]:
    """Every valid line of a file as a record of some dataclass, and the byte it begins at."""
    if not path.exists():
        return
    start, read = 0, _adapter(kind).validator.validate_json
    with path.open("rb") as file:
        for line in file:
            try:
                record = read(line)
            except ValidationError:
                pass
            else:
                yield start, record
            start += len(line)


class Store:
    """A file of records, which are dataclasses, open for writing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and not _ends_whole(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._synced = time.monotonic()
        if torn:
            os.write(self._file, b"\n")

    def append(self, record: Any) -> None:
        _write(self._file, _line(record))
        if time.monotonic() - self._synced > SYNC_EVERY:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.fsync(self._file)
        os.close(self._file)


#: The adapter of a dataclass, made once. Its own two functions are called, because its methods
#: around them take as long again for a short line.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _line(record: Any) -> bytes:
    adapter = _adapter(type(record))
    try:
        return adapter.serializer.to_json(record) + b"\n"
    except PydanticSerializationError:
        # Half a pair of surrogates, which a server may send, is no text: it becomes "?".
        text = json.dumps(adapter.dump_python(record), ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
