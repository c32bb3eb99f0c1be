"""Media opened and encoded ahead of their turn, as far as memory allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Condition, Thread
from typing import TypeAlias

from valley.encoding import Encoded
from valley.serve.jobs import Job
from valley.serve.wire import Ask

Result: TypeAlias = Encoded | Exception

#: Bytes of pixels that may wait for their turn.
MAX_BYTES = 512 * 2**20
THREADS = 2


class Preparer:
    """`encode` runs in threads, which hand its result or its error to `done`.

    They go on by themselves from job to job, so that a damaged picture is found while the model
    computes, not one turn of it later for each that waits before.
    """

    def __init__(
        self, encode: Callable[[Ask], Encoded], done: Callable[[Job, Result], None]
    ) -> None:
        self._encode, self._done = encode, done
        self._todo: deque[Job] = deque()
        self._held, self._seen = 0, -1
        self._news = Condition()
        for _ in range(THREADS):
            Thread(target=self._work, daemon=True).start()

    def ahead(self, waiting: Iterable[Job]) -> None:
        """Take on jobs in their order. Numbers rise, so none is taken twice."""
        jobs = list(waiting)
        with self._news:
            self._held = sum(_size(job.encoded) for job in jobs if job.encoded)
            self._todo = deque(job for job in jobs if job.number > self._seen)
            self._news.notify_all()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._todo and self._held < MAX_BYTES)
                job = self._todo.popleft()
                self._seen = job.number
            self._done(job, self._result(job))

    def _result(self, job: Job) -> Result:
        try:
            encoded = self._encode(job.ask)
        except BaseException as error:  # handed to whoever asked; a panic of Rust is no Exception
            return error if isinstance(error, Exception) else RuntimeError(repr(error))
        with self._news:
            self._held += _size(encoded)
        return encoded


def _size(encoded: Encoded) -> int:
    return sum(array.nbytes for array in (*encoded.patches, *encoded.tiles))
