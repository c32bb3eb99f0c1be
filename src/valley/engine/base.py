"""What every engine offers, so that they are interchangeable everywhere."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from valley.types import Reply, Request, Sampling


class Engine(Protocol):
    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Reply]:
        """Replies in the order of the requests, with bounded memory."""
        ...

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, Reply]:
        """Pieces of the raw text as they come; the generator returns the whole reply."""
        ...
