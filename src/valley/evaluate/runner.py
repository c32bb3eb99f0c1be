"""Asks a model the questions of a benchmark and keeps each reply as it comes; goes on after a kill.

A reply is kept under the SHA-256 of all that it depends on: what was answered is not asked again,
and nothing that was answered under other circumstances is taken for an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image as Picture
from PIL.Image import Resampling
from tqdm.auto import tqdm

from valley.engine.base import Engine
from valley.engine.bulk import ask, line_of, opened
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
        self.since = time.monotonic()

    def key(self, item: Item) -> str | Answer:
        """The key of an item, or the answer that says why it cannot be asked."""
        try:
            self.keys[item.id] = self.asker.key(self.benchmark, item)
        except (ValueError, OSError) as error:
            return Answer(item.id, "", error=line_of(error))
        return self.keys[item.id]

    def answers(self, items: Sequence[Item]) -> Iterator[Answer]:
        self.since = time.monotonic()
        if self.benchmark.ranks:
            yield from self._ranked(items)
            return
        asker = self.asker
        for item, reply in ask(asker.engine, asker.sampling, items, self._request):
            if isinstance(reply, Exception):
                yield self._failure(item, reply)
            else:
                yield self._answer(item, reply)

    def _ranked(self, items: Sequence[Item]) -> Iterator[Answer]:
        for item, request in opened(items, self._request):
            if isinstance(request, Exception):
                yield self._failure(item, request)
            else:
                order = rank(likelihoods(self.asker.engine), request, item.options)
                yield self._answer(item, Reply(order))

    def _request(self, item: Item) -> Request:
        return self.asker.request(self.benchmark, item)

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
        return Answer(item.id, self.keys[item.id], error=line_of(error))
