"""Media opened and encoded ahead of their turn, as far as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from valley.encoding import Encoded
from valley.serve.jobs import Job
from valley.serve.wire import Ask

Result: TypeAlias = Encoded | Exception

#: Bytes of pixels that may wait for their turn.
MAX_BYTES = 512 * 2**20
THREADS = 2


class Preparer:
    """`encode` runs in threads, which hand its result or its error to `done`."""

    def __init__(
        self, encode: Callable[[Ask], Encoded], done: Callable[[Job, Result], None]
    ) -> None:
        self._encode, self._done = encode, done
        self._pool = ThreadPoolExecutor(THREADS)
        self._seen = -1

    def ahead(self, waiting: Iterable[Job]) -> None:
        """Take on jobs in their order. Numbers rise, so none is taken twice."""
        jobs = list(waiting)
        held = sum(_size(job.encoded) for job in jobs if job.encoded)
        busy = sum(job.number <= self._seen and job.encoded is None for job in jobs)
        for job in jobs:
            if job.number > self._seen and held < MAX_BYTES and busy < 2 * THREADS:
                self._seen, busy = job.number, busy + 1
                self._pool.submit(self._encode, job.ask).add_done_callback(self._handing(job))

    def _handing(self, job: Job) -> Callable[[Future[Encoded]], None]:
        def hand(future: Future[Encoded]) -> None:
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            self._done(job, error or future.result())

        return hand


def _size(encoded: Encoded) -> int:
    return sum(array.nbytes for array in (*encoded.patches, *encoded.tiles))
