"""Replies on the disk: one JSON line each, only ever appended, so that a kill loses none.

The last valid line of an item counts. A torn line, as a kill in the middle of a write leaves it, is
passed over, and the next one begins on a line of its own.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from valley.evaluate.items import Answer

#: The files of a run, in the folder of its benchmark.
REPLIES, RECORD = "replies.jsonl", "run.json"
#: Seconds between two waits for the disk. What a killed process wrote is kept without them.
SYNC_EVERY = 1.0
_ANSWER = TypeAdapter(Answer)
#: The adapter's own two functions: its methods around them take as long again for a short line.
_read, _written = _ANSWER.validator.validate_json, _ANSWER.serializer.to_json


def read_answers(path: Path) -> dict[str, Answer]:
    """The last answer to each item, in the order in which the items were first answered."""
    answers: dict[str, Answer] = {}
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                try:
                    answer: Answer = _read(line)
                except ValidationError:
                    continue
                answers[answer.id] = answer
    return answers


class Store:
    """A file of answers open for writing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and not _ends_whole(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._synced = time.monotonic()
        if torn:
            os.write(self._file, b"\n")

    def append(self, answer: Answer) -> None:
        _write(self._file, _line(answer))
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


def _line(answer: Answer) -> bytes:
    try:
        return _written(answer) + b"\n"
    except PydanticSerializationError:
        # Half a pair of surrogates, which a server may send, is no text: it becomes "?".
        record = json.dumps(_ANSWER.dump_python(answer), ensure_ascii=False)
        return record.encode("utf-8", "replace") + b"\n"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
