"""How many requests may be open at once, and how much memory their media may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from valley.serve.errors import ApiError


class Room:
    """Places and bytes; whoever finds none left is told to come again."""

    def __init__(self, places: int, size: int) -> None:
        self._places, self._bytes = places, size

    @contextmanager
    def place(self) -> Iterator[None]:
        if self._places < 1:
            raise _full()
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        if count > self._bytes:
            raise _full()
        self._bytes -= count
        try:
            yield
        finally:
            self._bytes += count


def _full() -> ApiError:
    problem = "too many requests are open: ask again soon"
    return ApiError(503, problem, code="queue_full", retry_after=5)
