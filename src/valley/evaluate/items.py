"""What all parts of evaluation speak: a question, a reply to it, what it is worth. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Protocol, TypeAlias

from valley.types import MediaSource, Usage


@dataclass(frozen=True)
class Item:
    """One row of a benchmark.

    `id`: the row's index as text, unique in its benchmark. `cells`: every other column by name, as
    text, without the cells that hold pictures and without empty ones. `media`: the pictures, or the
    clip, in reading order, opened when they are needed.
    """

    id: str
    cells: Mapping[str, str]
    media: tuple[MediaSource, ...] = ()

    @property
    def question(self) -> str:
        return self.cells.get("question", "")

    @property
    def answer(self) -> str:
        return self.cells.get("answer", "")

    @property
    def options(self) -> dict[str, str]:
        """The choices by letter, in the order of the letters."""
        return {letter: self.cells[letter] for letter in ascii_uppercase if letter in self.cells}


@dataclass(frozen=True)
class Answer:
    """What a model replied to an item, one line of `replies.jsonl`.

    `key`: SHA-256 of all that the reply depends on (`runner.key_of`). `text` is the reply without
    its reasoning, `raw` the decoded text before parsing. `error`: why there is no reply.
    """

    id: str
    key: str
    text: str = ""
    raw: str = ""
    finish_reason: str = "stop"
    usage: Usage = Usage(0, 0)
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What a reply is worth, from 0 to 1.

    `extracted`: what the reply was read as, None where nothing was found in it. `resolved` is False
    where the rules could not read the reply and no judge said: `score` is then what the profile
    gives for it, and the truth lies anywhere from 0 to 1.
    """

    score: float
    extracted: str | None = None
    resolved: bool = True


@dataclass(frozen=True)
class Scored:
    """An item with the verdict on its reply, and the reply as it was scored: None where missing."""

    item: Item
    verdict: Verdict
    reply: str | None = None


@dataclass(frozen=True)
class Question:
    """What a judge is asked. `system`: its system prompt, "" for none."""

    prompt: str
    temperature: float = 0.0
    system: str = ""


#: Says what a judge answers. Raises ValueError where there is no answer, and `Unasked` where there
#: is none yet.
Judge: TypeAlias = Callable[[Question], str]


class Unasked(Exception):
    """A question that a judge answers together with others. `ask` has it answer some; afterwards it
    knows what to say to each."""

    def __init__(self, question: Question, ask: Callable[[Iterable[Question]], None]) -> None:
        super().__init__(question)
        self.question, self.ask = question, ask


class Scorer(Protocol):
    """How the replies of one kind of benchmark are scored. Pure, in bounded time on any text."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        """The verdict on one reply."""
        ...

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Named figures, "Overall" first, on the published scale: percent, but MME out of 2,800
        and OCRBench out of 1,000. An item that comes twice is two items (a bootstrap's draws)."""
        ...

    def cluster(self, item: Item) -> str:
        """What items that stand or fall together share: a picture, a group; else the id."""
        ...


@dataclass(frozen=True)
class Profile:
    """A named way of scoring, printed on every result.

    `prepare`: what happens to a column of replies before it is scored (a spreadsheet's round trip,
    or nothing). `read`: what happens to the rows of a table, all of them together. `scorers`: by
    kind of benchmark.
    """

    name: str
    version: str
    prepare: Callable[[Sequence[str]], list[str]]
    read: Callable[[Sequence[Item]], list[Item]] = list
    scorers: Mapping[str, Scorer] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A number of a table with what is known about it, all on the published scale.

    `low` to `high`: the 95 % interval. `least` to `most`: the figure if every unresolved or missing
    reply were wrong, or right, in the order of size; equal to `value` where there is none. `full`:
    where its scale ends, such as 1, 100 or 2800.
    """

    name: str
    value: float
    low: float
    high: float
    least: float
    most: float
    full: float

    @property
    def percent(self) -> float:
        """The figure on a scale that ends at 100."""
        return self.to_percent(self.value)

    def to_percent(self, value: float) -> float:
        """A value on the figure's scale on one that ends at 100."""
        return 100 * value / self.full


@dataclass(frozen=True)
class Scores:
    """One benchmark, scored. `judge`: its identity, None where rules alone decided."""

    benchmark: str
    profile: str
    version: str
    judge: str | None
    samples: int
    missing: int
    unresolved: int
    figures: tuple[Figure, ...]
