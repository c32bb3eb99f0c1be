"""What a set of prompts is: how one line of models is asked every benchmark, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from valley.evaluate.benchmarks import Benchmark
from valley.evaluate.items import Item
from valley.evaluate.products.asking import prompt
from valley.evaluate.prompts.asking import Ask
from valley.evaluate.prompts.placing import Place, Shown, first
from valley.evaluate.prompts.replies import Read, whole
from valley.evaluate.roundtrip import table
from valley.types import Budget, Message, Request, Sampling, Video

Value = TypeVar("Value")
#: Values by the beginning of a benchmark's name, by its kind, by its form, and "" for all others.
ByBenchmark: TypeAlias = Mapping[str, Value]
#: The limits of each of several pictures of an item.
Share: TypeAlias = Callable[[Budget, int], Budget]

#: What no set asks otherwise: questions that say themselves how they are to be answered.
ALIKE: ByBenchmark[Ask] = {"Products": prompt}
#: What no set lets a model begin otherwise.
CLIP_PREFIXES: ByBenchmark[str] = {"mvbench": "Best option:(", "": ""}


def for_benchmark(values: ByBenchmark[Value], benchmark: Benchmark) -> Value:
    """The value of the longest beginning of the name, else of the kind, the form, or ""."""
    starts = [key for key in values if key and benchmark.name.startswith(key)]
    keys = (*sorted(starts, key=len, reverse=True), benchmark.kind, benchmark.form, "")
    return next(values[key] for key in keys if key in values)


def unshared(budget: Budget, number: int) -> Budget:
    return budget


@dataclass(frozen=True)
class PromptSet:
    """How a line is asked.

    `version` changes with any text. `asks`: the words. `systems`: system prompts, "" for none.
    `prefixes`: words that the reply begins with. `places`: where pictures stand. `budgets`: limits
    of a picture, `share` those of each of several, `clips` those of a frame of a clip where they
    are others. `enlarged`: how often the sides of an item's first picture are doubled. `reads`:
    what published code takes out of a reply. `read`: what happens to the rows of a table before
    all.
    """

    name: str
    version: str
    source: str
    asks: ByBenchmark[Ask]
    sampling: Sampling
    thinking: bool | None = None
    systems: ByBenchmark[str] = field(default_factory=lambda: {"": ""})
    prefixes: ByBenchmark[str] = field(default_factory=lambda: CLIP_PREFIXES)
    places: ByBenchmark[Place] = field(default_factory=lambda: {"": first})
    budgets: ByBenchmark[Budget] = field(default_factory=lambda: {"": Budget()})
    clips: Budget | None = None
    share: Share = unshared
    enlarged: ByBenchmark[int] = field(default_factory=lambda: {"": 1})
    reads: ByBenchmark[Read] = field(default_factory=lambda: {"": whole})
    read: Callable[[Sequence[Item]], list[Item]] = table

    def words(self, benchmark: Benchmark, item: Item) -> str:
        """The question as this set puts it."""
        return for_benchmark({**self.asks, **ALIKE}, benchmark)(item)

    def budget(self, benchmark: Benchmark, pictures: int = 1, clip: bool = False) -> Budget:
        """The limits of each of an item's pictures, or of each frame of its clip."""
        if self.clips and (clip or benchmark.medium == "video"):
            return self.clips
        budget = for_benchmark(self.budgets, benchmark)
        return self.share(budget, pictures) if pictures > 1 else budget

    def request(self, benchmark: Benchmark, item: Item, shown: tuple[Shown, ...]) -> Request:
        """The whole conversation, its media in the parts of `shown`."""
        place = for_benchmark(self.places, benchmark)
        messages = [Message("user", place(self.words(benchmark, item), shown))]
        if system := for_benchmark(self.systems, benchmark):
            messages.insert(0, Message.of("system", system))
        clip = any(isinstance(one, Video) for one in shown)
        budget = self.budget(benchmark, len(shown), clip)
        prefix = for_benchmark(self.prefixes, benchmark)
        return Request(tuple(messages), budget, thinking=self.thinking, prefix=prefix)

    def published_reply(self, benchmark: Benchmark, raw: str) -> str:
        """The reply as published code hands it to scoring."""
        return for_benchmark(self.reads, benchmark)(raw)


def divided(budget: Budget, number: int) -> Budget:
    """Limits of area, divided by the number of pictures."""
    low, high = budget.min_pixels or 0, budget.max_pixels or 0
    return replace(budget, min_pixels=low // number or None, max_pixels=high // number or None)
