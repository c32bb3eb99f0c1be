"""Media opened, then encoded, ahead of their turn, as far as memory allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from threading import Condition, Thread
from typing import TypeAlias

from valley.encoding import Encoded
from valley.planning import pictures_of
from valley.serve.jobs import Job
from valley.serve.wire import Ask
from valley.types import Request

Result: TypeAlias = Encoded | Exception

#: Bytes of opened pictures that may wait to be encoded, and of encoded ones that may wait for
#: their turn.
MAX_OPENED, MAX_ENCODED = 256 * 2**20, 512 * 2**20
#: One of them only opens.
THREADS = 3


class Preparer:
    """`open` and `encode` run in threads; what comes of a job, or its error, is handed to `done`.

    All jobs are opened before the next is encoded, which takes ten times as long, and one thread
    does nothing else: so a damaged picture is refused soon, however many wait. The threads go on
    while the model computes.
    """

    def __init__(
        self,
        open: Callable[[Ask], Request],
        encode: Callable[[Ask, Request], Encoded],
        done: Callable[[Job, Result], None],
    ) -> None:
        self._open, self._encode, self._done = open, encode, done
        self._todo: deque[Job] = deque()
        self._opened: dict[int, tuple[Job, Request]] = {}
        self._held = 0
        self._news = Condition()
        for number in range(THREADS):
            Thread(target=self._work, args=(number > 0,), daemon=True).start()

    def add(self, job: Job) -> None:
        """Take on a job. Their numbers rise."""
        with self._news:
            self._todo.append(job)
            self._news.notify_all()

    def keep(self, waiting: Iterable[Job], newest: int) -> None:
        """Forget jobs up to number `newest` that no longer wait."""
        jobs = {job.number: job for job in waiting}

        def kept(number: int) -> bool:
            return number > newest or number in jobs

        with self._news:
            self._held = sum(_encoded_size(job.encoded) for job in jobs.values() if job.encoded)
            self._todo = deque(job for job in self._todo if kept(job.number))
            self._opened = {n: opened for n, opened in self._opened.items() if kept(n)}
            self._news.notify_all()

    def _work(self, encodes: bool) -> None:
        while True:
            with self._news:
                while (step := self._next(encodes)) is None:
                    self._news.wait()
            step()

    def _next(self, encodes: bool) -> Callable[[], None] | None:
        """The next thing to do, if anything is to be done and memory allows it."""
        opened = sum(_opened_size(request) for _, request in self._opened.values())
        if self._todo and opened < MAX_OPENED:
            job = self._todo.popleft()
            return partial(self._try, job, partial(self._open_one, job))
        if encodes and self._opened and self._held < MAX_ENCODED:
            job, request = self._opened.pop(min(self._opened))
            return partial(self._try, job, partial(self._encode_one, job, request))
        return None

    def _try(self, job: Job, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:  # handed to whoever asked; a panic of Rust is no Exception
            told = error if isinstance(error, Exception) else RuntimeError(repr(error))
            self._done(job, told)

    def _open_one(self, job: Job) -> None:
        request = self._open(job.ask)
        with self._news:
            self._opened[job.number] = (job, request)
            self._news.notify_all()

    def _encode_one(self, job: Job, request: Request) -> None:
        encoded = self._encode(job.ask, request)
        with self._news:
            self._held += _encoded_size(encoded)
        self._done(job, encoded)


def _opened_size(request: Request) -> int:
    parts = (part for message in request.messages for part in message.parts)
    return sum(3 * picture.width * picture.height for p in parts for picture in pictures_of(p))


def _encoded_size(encoded: Encoded) -> int:
    return sum(array.nbytes for array in (*encoded.patches, *encoded.tiles))
