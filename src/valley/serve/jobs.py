"""A request on its way through an engine process, and what the front is told of it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Any, Protocol

from valley.encoding import Encoded
from valley.processing import ValleyProcessor
from valley.serve.errors import place_of
from valley.serve.wire import Ask

logger = logging.getLogger("valley.serve")
Event = dict[str, Any]


@dataclass
class Job:
    """A request, and what it becomes once its media are open."""

    number: int
    ask: Ask
    encoded: Encoded | None = None
    prompt: list[int] = field(default_factory=list)
    arrived: float = field(default_factory=time.monotonic)

    @property
    def length(self) -> int:
        """Columns that the job may come to fill."""
        return self.ask.prompt_tokens + self.ask.sampling.max_new_tokens


class Scheduling(Protocol):
    """What an engine process runs: many requests over one model. `context`: tokens of a prompt and
    its reply together. `idle`: whether there is nothing to do until something arrives."""

    waiting: deque[Job]

    @property
    def processor(self) -> ValleyProcessor: ...
    @property
    def context(self) -> int: ...
    @property
    def running(self) -> Sized: ...
    @property
    def idle(self) -> bool: ...

    def turn(self) -> list[Event]:
        """Do a piece of work; what came of it."""
        ...

    def drop(self, job: Job) -> None:
        """Forget a request that waits."""
        ...

    def cancel(self, number: int) -> None:
        """Forget a request, wherever it is."""
        ...


def failed(number: int, error: Exception) -> Event:
    """The event of a request that cannot be answered: the user's mistake or ours."""
    mistake = isinstance(error, ValueError)
    if not mistake:
        logger.error("%s at %s", type(error).__name__, place_of(error))
    text = str(error) if mistake else f"the engine failed: {type(error).__name__}"
    return {"id": number, "failed": text, "status": 400 if mistake else 500}
