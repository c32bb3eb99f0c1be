"""How many requests may be open at once, and how much memory their bodies may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from valley.serve.errors import ApiError


class Place:
    """One open request, and the bytes that it holds until it ends."""

    def __init__(self, room: Room) -> None:
        self._room, self.held = room, 0

    def hold(self, count: int) -> None:
        """Raises ApiError where that many bytes more are not to be had."""
        if count > self._room.free:
            raise _full()
        self._room.free -= count
        self.held += count


class Room:
    """Places and bytes (`free`); whoever finds none left is told to come again."""

    def __init__(self, places: int, size: int) -> None:
        self._places, self.free = places, size

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Raises ApiError where every place is taken."""
        if self._places < 1:
            raise _full()
        self._places -= 1
        place = Place(self)
        try:
            yield place
        finally:
            self._places += 1
            self.free += place.held


def _full() -> ApiError:
    problem = "too many requests are open: ask again soon"
    return ApiError(503, problem, code="queue_full", retry_after=5)
