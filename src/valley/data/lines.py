"""A file of JSON lines whose samples are parsed when they are asked for: eight bytes for each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

from valley.data.reading import DataError, Row, sample_of
from valley.types import Sample


class Lines(Sequence[Sample]):
    """The samples of a file, its empty lines left out. A line that is none raises DataError."""

    def __init__(self, path: Path, convert: Callable[[Row], Sample], media_root: Path) -> None:
        self.path, self.convert, self.media_root = path, convert, media_root
        #: Where each line begins.
        self._starts = array("Q")
        position = 0
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    self._starts.append(position)
                position += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = self._starts[index]
        with self.path.open("rb") as file:
            file.seek(start)
            raw = file.readline()
        try:
            return sample_of(raw, self.convert, self.media_root)
        except ValueError as error:
            raise DataError(f"{self.path}, byte {start}: {error}") from error
