"""Asking a judge until it says something that can be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TypeVar

from valley.evaluate.items import Judge, Question

#: What VLMEvalKit writes where a model could not be reached.
FAILED = "Failed to obtain answer via API"
#: By how much the temperature rises from one try to the next.
STEP = 0.5

T = TypeVar("T")


def asked(
    judge: Judge | None,
    prompt: str,
    read: Callable[[str], T | None],
    tries: int = 5,
    step: float = STEP,
    first: float = 0.0,
    system: str = "",
) -> T | None:
    """What a judge's words were read as, None if it never said anything of use. The temperature is
    `first`, and rises by `step` with each try."""
    for attempt in range(tries if judge else 0):
        assert judge is not None
        try:
            said = judge(Question(prompt, first + step * attempt, system))
        except ValueError:
            continue
        if FAILED not in said and (found := read(said)) is not None:
            return found
    return None


def prompt(name: str, **values: str) -> str:
    """A judge's prompt of the folder `judge_prompts`, its places (`{{name}}`) filled in."""
    places = re.compile("{{(" + "|".join(values) + ")}}")
    return places.sub(lambda place: values[place[1]], template(name))


@cache
def template(name: str) -> str:
    """The text of a prompt, without the newline that ends its file."""
    folder = files("valley.evaluate") / "judge_prompts"
    return (folder / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")
