"""Many items put to an engine: their media opened ahead, replies in order, failures one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from valley.engine.base import Engine
from valley.types import Reply, Request, Sampling

#: Items whose media are open before they are asked for, and threads that open them.
AHEAD, OPENERS = 16, 4
#: Requests in a row that may fail before all ends: by then it is not their fault.
MAX_FAILURES = 8

T = TypeVar("T")


def ask(
    engine: Engine, sampling: Sampling, items: Iterable[T], make: Callable[[T], Request]
) -> Iterator[tuple[T, Reply | Exception]]:
    """Each item with its reply, or with the reason why there is none.

    `make`: the request of an item, its media open. Where the engine fails, the items that it had
    are asked one by one, so that a bad one costs itself alone. Raises RuntimeError where
    `MAX_FAILURES` of these fail in a row.
    """
    failed: deque[tuple[T, Exception]] = deque()
    with closing(opened(items, make)) as waiting:
        while True:
            sent: deque[T] = deque()
            try:
                yield from _together(engine, sampling, waiting, sent, failed)
                return
            except Exception as error:
                if not sent:
                    raise
                yield from _one_by_one(engine, sampling, sent, make, error)


def opened(
    items: Iterable[T], make: Callable[[T], Request]
) -> Generator[tuple[T, Request | Exception], None, None]:
    """Each item with its request or with what is wrong with it, some of them in advance."""

    def work(item: T) -> tuple[T, Request | Exception]:
        try:
            return item, make(item)
        except (ValueError, OSError) as error:
            return item, error

    waiting: deque[Future[tuple[T, Request | Exception]]] = deque()
    with ThreadPoolExecutor(OPENERS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def line_of(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:500] or type(error).__name__


def _together(
    engine: Engine,
    sampling: Sampling,
    waiting: Iterator[tuple[T, Request | Exception]],
    sent: deque[T],
    failed: deque[tuple[T, Exception]],
) -> Iterator[tuple[T, Reply | Exception]]:
    def requests() -> Iterator[Request]:
        for item, request in waiting:
            if isinstance(request, Exception):
                failed.append((item, request))
            else:
                sent.append(item)
                yield request

    for reply in engine.run(requests(), sampling):
        yield sent.popleft(), reply
        while failed:
            yield failed.popleft()
    yield from failed


def _one_by_one(
    engine: Engine,
    sampling: Sampling,
    items: Iterable[T],
    make: Callable[[T], Request],
    reason: Exception,
) -> Iterator[tuple[T, Reply | Exception]]:
    failures = 0
    for item in items:
        try:
            reply = next(iter(engine.run([make(item)], sampling)))
        except Exception as error:
            yield item, error
            failures += 1
            if failures == MAX_FAILURES:
                raise RuntimeError(
                    f"{failures} requests in a row failed: {line_of(reason)}"
                ) from error
        else:
            failures = 0
            yield item, reply
