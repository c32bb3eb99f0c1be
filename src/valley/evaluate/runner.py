"""Asks a model the questions of a benchmark and keeps each reply as it comes; goes on after a kill.

A reply is kept under the SHA-256 of all that it depends on: what was answered is not asked again,
and nothing that was answered under other circumstances is taken for an answer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image as Picture
from PIL.Image import Resampling
from tqdm.auto import tqdm

from valley.engine.base import Engine
from valley.evaluate.benchmarks import Benchmark
from valley.evaluate.identity import Source, key_of
from valley.evaluate.items import Answer, Item
from valley.evaluate.products.ranking import likelihoods, rank
from valley.evaluate.prompts import PromptSet
from valley.evaluate.prompts.base import for_benchmark
from valley.evaluate.store import Store, read_answers
from valley.evaluate.tables import digest_of, open_picture
from valley.media.limits import DEFAULT, Limits
from valley.types import Image, MediaSource, Reply, Request, Sampling, Video

#: Items whose pictures are open before they are asked for, and threads that open them.
AHEAD, OPENERS = 16, 4
#: Requests in a row that may fail before a run ends: by then it is not their fault.
MAX_FAILURES = 8
CHANGED = "asked under other circumstances: ask again"


@dataclass(frozen=True)
class Asker:
    """Who is asked and how. `open`: makes the media of a request, clips among them, ready for the
    engine; pictures are open by then."""

    engine: Engine
    source: Source
    prompts: PromptSet
    sampling: Sampling
    open: Callable[[Request], Request]
    limits: Limits = DEFAULT

    def key(self, benchmark: Benchmark, item: Item) -> str:
        """Raises ValueError for an item that cannot be asked."""
        shown = _shown(benchmark, item, [digest_of(source) for source in item.media])
        request = self.prompts.request(benchmark, item, shown)
        enlarged = for_benchmark(self.prompts.enlarged, benchmark)
        return key_of(request, enlarged, self.sampling, self.source)

    def request(self, benchmark: Benchmark, item: Item) -> Request:
        """The request, ready for the engine. Raises ValueError for media that cannot be opened."""
        pictures = [
            self._picture(benchmark, source, number) for number, source in enumerate(item.media)
        ]
        shown = _shown(benchmark, item, pictures)
        return self.open(self.prompts.request(benchmark, item, shown))

    def _picture(self, benchmark: Benchmark, source: MediaSource, number: int) -> MediaSource:
        if benchmark.medium == "video":
            return source
        picture = open_picture(source, self.limits)
        times = for_benchmark(self.prompts.enlarged, benchmark) if number == 0 else 1
        return picture if times == 1 else _enlarged(picture, times)


def _shown(
    benchmark: Benchmark, item: Item, sources: Sequence[MediaSource]
) -> tuple[Image | Video, ...]:
    """Pictures, clips, or the frames of one clip."""
    if item.cells.get("media") == "clip":
        return (Video(list(sources)),)
    return tuple(map(Video if benchmark.medium == "video" else Image, sources))


def _enlarged(picture: Picture, times: int) -> Picture:
    width, height = picture.size
    return picture.resize((width * times, height * times), Resampling.BILINEAR)


def run(asker: Asker, benchmark: Benchmark, items: Sequence[Item], replies: Path) -> int:
    """Answer every item that has no answer in the file `replies`; returns how many have an error.

    Raises RuntimeError where `MAX_FAILURES` requests in a row fail; what was answered is kept.
    """
    kept = read_answers(replies)
    asking = _Asking(asker, benchmark)
    todo, errors = [], 0
    with Store(replies) as store:
        for item in items:
            answer, key = kept.get(item.id), asking.key(item)
            if isinstance(key, Answer):
                errors += 1
                if answer != key:
                    store.append(key)
            elif answer is None or answer.key != key or answer.error:
                if answer is not None and answer.key != key:
                    store.append(Answer(item.id, key, error=CHANGED))
                todo.append(item)
        done = len(items) - len(todo)
        with tqdm(
            total=len(items), initial=done, desc=benchmark.name, unit="reply", disable=None
        ) as bar:
            for answer in asking.answers(todo):
                store.append(answer)
                errors += answer.error is not None
                bar.update()
    return errors


class _Asking:
    """One benchmark put to one asker."""

    def __init__(self, asker: Asker, benchmark: Benchmark) -> None:
        self.asker, self.benchmark = asker, benchmark
        self.keys: dict[str, str] = {}
        self.failed: list[Answer] = []
        self.since = time.monotonic()

    def key(self, item: Item) -> str | Answer:
        """The key of an item, or the answer that says why it cannot be asked."""
        try:
            self.keys[item.id] = self.asker.key(self.benchmark, item)
        except (ValueError, OSError) as error:
            return Answer(item.id, "", error=_line(error))
        return self.keys[item.id]

    def answers(self, items: Sequence[Item]) -> Iterator[Answer]:
        """Where the engine fails, the items that it had are asked one by one."""
        self.since = time.monotonic()
        with ThreadPoolExecutor(OPENERS) as pool:
            opened = _ahead(pool, self._opened, items)
            try:
                if self.benchmark.ranks:
                    yield from self._ranked(opened)
                    return
                while True:
                    sent: deque[Item] = deque()
                    try:
                        yield from self._together(opened, sent)
                        return
                    except Exception as error:
                        if not sent:
                            raise
                        yield from self._one_by_one(sent, error)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _together(
        self, opened: Iterator[tuple[Item, Request | Exception]], sent: deque[Item]
    ) -> Iterator[Answer]:
        def requests() -> Iterator[Request]:
            for item, request in opened:
                if isinstance(request, Exception):
                    self.failed.append(self._failure(item, request))
                else:
                    sent.append(item)
                    yield request

        for reply in self.asker.engine.run(requests(), self.asker.sampling):
            yield self._answer(sent.popleft(), reply)
            yield from self._failures()
        yield from self._failures()

    def _ranked(self, opened: Iterable[tuple[Item, Request | Exception]]) -> Iterator[Answer]:
        for item, request in opened:
            if isinstance(request, Exception):
                yield self._failure(item, request)
            else:
                order = rank(likelihoods(self.asker.engine), request, item.options)
                yield self._answer(item, Reply(order))

    def _failures(self) -> Iterator[Answer]:
        while self.failed:
            yield self.failed.pop()

    def _one_by_one(self, sent: Iterable[Item], reason: Exception) -> Iterator[Answer]:
        failures = 0
        for item in sent:
            try:
                request = self.asker.request(self.benchmark, item)
                reply = next(iter(self.asker.engine.run([request], self.asker.sampling)))
            except Exception as error:
                yield self._failure(item, error)
                failures += 1
                if failures == MAX_FAILURES:
                    raise RuntimeError(
                        f"{failures} requests in a row failed: {_line(reason)}"
                    ) from error
            else:
                failures = 0
                yield self._answer(item, reply)

    def _opened(self, item: Item) -> tuple[Item, Request | Exception]:
        try:
            return item, self.asker.request(self.benchmark, item)
        except (ValueError, OSError) as error:
            return item, error

    def _answer(self, item: Item, reply: Reply) -> Answer:
        """`seconds` is the time since the answer before, so that they add up to that of the run."""
        before, self.since = self.since, time.monotonic()
        return Answer(
            id=item.id,
            key=self.keys[item.id],
            text=reply.text,
            raw=reply.raw or reply.text,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            seconds=round(self.since - before, 3),
        )

    def _failure(self, item: Item, error: Exception) -> Answer:
        return Answer(item.id, self.keys[item.id], error=_line(error))


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Item], tuple[Item, Request | Exception]],
    items: Sequence[Item],
) -> Iterator[tuple[Item, Request | Exception]]:
    """`work` done on each item in order, by the pool, at most `AHEAD` of them in advance."""
    waiting: deque = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
