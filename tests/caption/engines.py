"""Engines whose replies are a function of the request and of the try alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice

from evaluate.engines import said
from valley.caption.task import Task
from valley.caption.verdicts import Examiner
from valley.evaluate.identity import Source
from valley.media.limits import Limits
from valley.planning import Planner
from valley.types import Reply, Request, Sampling, Usage

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"what": {"type": "string"}, "kind": {"enum": ["mug", "lamp"]}},
        "required": ["what"],
        "additionalProperties": False,
    }
)
#: (request, its try from 0) -> the reply.
Answering = Callable[[Request, int], Reply]


def good(request: Request, retry: int) -> Reply:
    return Reply(raw := json.dumps({"what": said(request)}), usage=Usage(9, 4, 5), raw=raw)


class Scripted:
    """Answers windows of requests, as the local engine does; `asked` counts them by their try."""

    def __init__(self, answer: Answering = good, window: int = 8) -> None:
        self.answer, self.window = answer, window
        self.asked: list[int] = []

    def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Iterator[Reply]:
        retry = 0 if sampling.seed is None else sampling.seed
        waiting = iter(requests)
        while window := list(islice(waiting, self.window)):
            found = [self.answer(request, retry) for request in window]
            self.asked += [retry] * len(window)
            yield from found

    def stream(
        self, request: Request, sampling: Sampling = Sampling()
    ) -> Generator[str, None, Reply]:
        raise NotImplementedError


class Weighing(Scripted):
    """Knows how likely a label is, too: the less, the longer."""

    def log_probs(self, request: Request, candidates: Sequence[str]) -> list[float]:
        return [-float(len(word)) for word in candidates]


def examiner(planner: Planner, engine: Scripted, **task: object) -> Examiner:
    given = {"schema": SCHEMA, "max_new_tokens": 64} | task
    return Examiner(
        engine,
        Source("scripted", digest="0" * 64),
        Task(**given),  # type: ignore[arg-type]
        lambda request, product: planner.open(request, Limits(media_root=product.root)),
    )
