"""Engines for tests of the runner: what they say is a function of the request alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice

from valley.evaluate.identity import Source
from valley.evaluate.prompts import DEFAULT
from valley.evaluate.runner import Asker
from valley.types import Image, Reply, Request, Sampling, Text, Usage


def said(request: Request) -> str:
    """The words and the pictures of a request, told apart by any change of them."""
    digest = hashlib.sha256()
    for part in request.messages[-1].parts:
        if isinstance(part, Text):
            digest.update(part.text.encode())
            continue
        for picture in [part.source] if isinstance(part, Image) else part.source:
            digest.update(picture.tobytes())
    return digest.hexdigest()[:16]


class Echo:
    """Answers windows of requests, as the local engine does; `work` is done for each."""

    def __init__(self, window: int = 8, work: Callable[[Request], object] = said) -> None:
        self.window, self.work = window, work
        self.asked = 0

    def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Iterator[Reply]:
        waiting = iter(requests)
        while window := list(islice(waiting, self.window)):
            for request in window:
                self.work(request)
            self.asked += len(window)
            yield from (self.reply(request) for request in window)

    def reply(self, request: Request) -> Reply:
        return Reply(said(request), usage=Usage(3, 2, 1), raw=f"<think>x</think>{said(request)}")

    def stream(
        self, request: Request, sampling: Sampling = Sampling()
    ) -> Generator[str, None, Reply]:
        yield said(request)
        return self.reply(request)


def asker(engine: Echo, **changes: object) -> Asker:
    source = Source("echo", digest="0" * 64)
    given = {"source": source, "prompts": DEFAULT, "sampling": Sampling()} | changes
    return Asker(engine, open=lambda request: request, **given)  # type: ignore[arg-type]
