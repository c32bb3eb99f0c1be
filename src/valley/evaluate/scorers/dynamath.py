"""DynaMath: variants of one question, whose replies are JSON with a short answer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import asking, grouping, reading

#: How far a number may be off.
TOLERANCE = 0.001
MULTIPLE_CHOICE = "multiple choice"
LETTERS = "ABCDE"
#: Prompts of the judge by the type of an answer, and for all other types.
_TEMPLATES = {MULTIPLE_CHOICE: "dynamath_choice", "float": "dynamath_float"}
_TEMPLATE = "dynamath_words"

#: A short answer in the form it is compared in, None where it has none: (text, type of answer).
Reader: TypeAlias = Callable[[str, str], Any]

T = TypeVar("T")


def parsed(text: str, kind: str) -> Any:
    """A short answer as VLMEvalKit reads it."""
    if kind == "float":
        return _float(text)
    if kind == MULTIPLE_CHOICE:
        if len(text) == 1:
            return text.upper()
        letters = [letter for letter in LETTERS if letter in text.upper()]
        return letters[0] if len(letters) == 1 else None
    return text


def _float(text: str) -> float | None:
    first = text if text.isdigit() else text.split(" ", maxsplit=1)[0]
    try:
        return float(first.split("π")[0]) * math.pi if "π" in first else float(first)
    except ValueError:
        return None


def body(reply: str) -> str:
    """The outermost braces of a reply with what they hold, without backslashes."""
    begin, end = reply.find("{"), reply.rfind("}")
    inside = reply[begin : end + 1] if 0 <= begin < end else reply
    return inside.replace("\\", "")


def short_answer(text: str) -> Any:
    """What the key `short answer` of a JSON object holds, None where there is none."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value.get("short answer") if isinstance(value, dict) else None


def published(item: Item, reply: str, judge: Judge | None) -> Verdict:
    """VLMEvalKit's verdict. An answer in words is right if the truth holds it: an empty one is."""
    kind, truth, text = item.cells.get("answer_type", ""), item.answer, body(reply)
    said = short_answer(text)
    found = parsed(said, kind) if isinstance(said, str) else None
    if found is None:
        found = parsed(text, kind)
    if found is None:
        found = _shortened(judge, text, kind, lambda answer: parsed(answer, kind), tries=1)
    if found is None:
        right = kind == MULTIPLE_CHOICE and truth in text[:3].upper()
        return Verdict(float(right), resolved=right)
    if kind == "float":
        right = abs(found - _float(truth) if _float(truth) is not None else math.inf) <= TOLERANCE
    elif kind == MULTIPLE_CHOICE:
        right = found == truth
    else:
        right = found.lower() in truth.lower()
    return Verdict(float(right), str(found))


def _shortened(
    judge: Judge | None, text: str, kind: str, read: Callable[[str], T | None], tries: int
) -> T | None:
    """What is read of the short answer that a judge makes of a reply."""
    prompt = asking.prompt(_TEMPLATES.get(kind, _TEMPLATE), reply=text)
    return asking.asked(judge, prompt, read, tries, system=asking.template("dynamath_system"))


def strict(item: Item, reply: str, judge: Judge | None) -> Verdict:
    """Numbers in JSON are numbers, an answer in words has to be the truth, and a reply that is no
    JSON is read as any other."""
    kind, truth = item.cells.get("answer_type", ""), item.answer
    begin, end = reply.find("{"), reply.rfind("}")
    said = short_answer(reply[begin : end + 1])
    if said is None:
        said = short_answer(body(reply))
    text = str(said) if isinstance(said, (str, int, float)) else reply
    right = _right(text, kind, truth)
    if right is None and judge is not None:
        right = _shortened(judge, text, kind, lambda answer: _right(answer, kind, truth), tries=5)
    if right is None and not reading.refused(text):
        return Verdict(0.0, resolved=False)
    return Verdict(float(right or False), reading.stated(text))


def _right(text: str, kind: str, truth: str) -> bool | None:
    if kind == MULTIPLE_CHOICE:
        letter = reading.letter(text, dict.fromkeys(LETTERS, ""))
        return None if letter is None else letter == truth
    if kind == "float":
        value = reading.the_number(text) if (value := _pi(text)) is None else value
        wanted = _float(truth)
        return None if value is None else wanted is not None and abs(value - wanted) <= TOLERANCE
    return reading.says(text, truth)


def _pi(text: str) -> float | None:
    """A multiple of π, as in `2π`, `π/2` aside."""
    factor, sign, rest = reading.tidy(text).partition("π")
    if not sign or rest.strip(" ."):
        return None
    return math.pi * float(value) if (value := reading.the_number(factor or "1")) else None


@dataclass(frozen=True)
class DynaMath:
    """`judged`: the verdict on a reply."""

    judged: Callable[[Item, str, Judge | None], Verdict]

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        return self.judged(item, reply, judge)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The average over all variants, and the worst case: questions right in every variant."""
        questions = [
            Scored(rows[0].item, Verdict(float(grouping.all_right(rows))))
            for rows in grouping.groups(scored, self.cluster)
        ]
        worst = {f"Worst Case: {name}": v for name, v in _by_parts(questions).items()}
        return _by_parts(scored) | {"Worst Case": worst.pop("Worst Case: Overall"), **worst}

    def cluster(self, item: Item) -> str:
        return item.cells.get("qid", item.id)


def _by_parts(scored: Sequence[Scored]) -> dict[str, float]:
    figures = {"Overall": grouping.accuracy(scored)}
    for column, name in (("subject", "Subject"), ("knowledge_level", "Level")):
        for value, rows in grouping.by(scored, column).items():
            figures[f"{name}-{value}"] = grouping.accuracy(rows)
    return figures
