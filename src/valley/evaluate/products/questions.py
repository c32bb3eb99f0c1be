"""A question before it is a row of the table, and the lot that decides what it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias

from PIL import Image

from valley.evaluate.products.words import Language

Way: TypeAlias = Literal["open", "choice", "rank", "json"]
#: How an open reply is read: see `scoring`.
Form: TypeAlias = Literal["word", "yes_no", "number", "price", "code"]

LETTERS = "ABCD"
#: Draws of a round: each value of `Lot.turn` comes once in it.
ROUND = 24
LEVELS = 3

Pictures: TypeAlias = tuple[Image.Image, ...]


@dataclass(frozen=True)
class Question:
    """What is asked about pictures, or about one clip.

    `answer`: the words, the letter of the right option, or JSON. `rivals`: the other values that
    an open reply might name, each of which makes it wrong.
    """

    text: str
    answer: str
    pictures: Pictures
    form: Form | None = None
    rivals: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    clip: bool = False


@dataclass(frozen=True)
class Lot:
    """What chance gives a question. `turn`, 0 to 23, takes every value once in 24 questions of a
    task, a way and a language, so that what is drawn from it is balanced exactly; `rng` is for the
    rest. `level`, 0 to 2: from easy to hard."""

    rng: Random
    turn: int
    language: Language
    level: int

    def say(self, english: str, chinese: str) -> str:
        return english if self.language == "en" else chinese

    def heads(self, over: int = 1) -> bool:
        """True in half of the turns, for each of `over` kinds that `turn % over` chooses."""
        return self.turn // over % 2 == 0


def choice(
    lot: Lot,
    text: str,
    options: Sequence[str],
    pictures: Pictures,
    place: int | None = None,
    clip: bool = False,
) -> Question:
    """A question with options, the right one given first; `place`: where it shall stand, None by
    lot."""
    right, *wrong = options
    lot.rng.shuffle(wrong)
    place = lot.rng.randrange(len(options)) if place is None else place
    wrong.insert(place, right)
    return Question(text, LETTERS[place], pictures, options=tuple(wrong), clip=clip)


def yes_no(lot: Lot, text: str, yes: bool, pictures: Pictures, clip: bool = False) -> Question:
    """A question to be answered with yes or no, which is said in it."""
    text += lot.say(" Answer yes or no.", "请回答“是”或“否”。")
    answer = lot.say("yes", "是") if yes else lot.say("no", "否")
    return Question(text, answer, pictures, "yes_no", clip=clip)


def word(
    lot: Lot, text: str, answer: str, values: Sequence[str], pictures: Pictures, clip: bool = False
) -> Question:
    """A question whose answer is one of the values, all known by their English names."""
    rivals = tuple(value for value in values if value != answer)
    return Question(text, answer, pictures, "word", rivals, clip=clip)
