"""MathVista, MathVision and MathVerse: the rules come first, a judge takes the answer out of what
they cannot read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, TypeAlias

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import asking, cells, grouping, latex, reading
from valley.evaluate.scorers.choice import can_infer, read_letter, verdict_on
from valley.evaluate.scorers.grouping import Accuracy
from valley.mathematics import shared

#: A verdict by rules on what a model, or a judge for it, said.
Rule: TypeAlias = Callable[[Item, str], Verdict]

UNRESOLVED = Verdict(0.0, resolved=False)
MULTIPLE_CHOICE = "multi_choice"


@dataclass(frozen=True)
class Extracted(Accuracy):
    """`first`: the rule on a reply, unresolved where a judge is needed. `then`: the rule on the
    answer that the judge takes out with the prompt `template`."""

    first: Rule
    then: Rule
    template: str

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        verdict = self.first(item, reply)
        if verdict.resolved or judge is None:
            return verdict
        prompt = asking.prompt(self.template, question=item.question, reply=reply)
        found = asking.asked(judge, prompt, str)
        return UNRESOLVED if found is None else self.then(item, found)


class MathVista(Extracted):
    """MathVista, with figures for each task and each skill."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        parts = grouping.by(scored, "task")
        for row in scored:
            for skill in cells.listed(row.item.cells.get("skills", "[]")):
                parts.setdefault(str(skill), []).append(row)
        figures = {part: grouping.accuracy(rows) for part, rows in parts.items()}
        return {"Overall": grouping.accuracy(scored), **figures}


def found_in_mathvista(item: Item, text: str) -> tuple[Any, bool]:
    """What VLMEvalKit takes for the answer in a text, and whether it is the truth. What is no
    number and no choice is never read: `None` stands for it."""
    kind, truth = item.cells.get("answer_type"), item.answer
    if item.cells.get("question_type") == MULTIPLE_CHOICE:
        letter = can_infer(text, cells.lettered(item.cells.get("choices", "")))
        return letter, letter == item.cells.get("answer_option")
    read = {"integer": int, "float": float}.get(kind or "")
    if read is None:
        return "None", truth == "None"
    try:
        value = read(text)
        return value, value == read(truth)
    except ValueError:
        return None, False


def mathvista_first(item: Item, reply: str) -> Verdict:
    """VLMEvalKit's verdict before a judge is asked, who is asked about 0 as well."""
    found, right = found_in_mathvista(item, reply)
    chosen = item.cells.get("question_type") == MULTIPLE_CHOICE
    return Verdict(float(right), str(found)) if found and (chosen or right) else UNRESOLVED


def mathvista_then(item: Item, answer: str) -> Verdict:
    found, right = found_in_mathvista(item, answer)
    return Verdict(float(right), None if found is None else str(found))


def strict_mathvista(item: Item, reply: str) -> Verdict:
    """Numbers by value; lists by their members; other text by its words."""
    if item.cells.get("question_type") == MULTIPLE_CHOICE:
        options = cells.lettered(item.cells.get("choices", ""))
        return verdict_on(read_letter(reply, options), item.cells.get("answer_option", ""))
    if reading.refused(reply):
        return Verdict(0.0)
    kind = item.cells.get("answer_type")
    if kind in ("integer", "float"):
        return _same_number(reply, item.answer, kind)
    if kind == "list":
        return _same_list(reply, item.answer)
    right = reading.says(reply, item.answer)
    return UNRESOLVED if right is None else Verdict(float(right), reading.stated(reply))


def _same_number(reply: str, truth: str, kind: str) -> Verdict:
    """Rounded to the decimals of the truth, as MathVista's own evaluation does (Lu et al. 2024)."""
    value = reading.the_number(reply)
    if value is None:
        return UNRESOLVED
    decimals = len(truth.partition(".")[2]) if kind == "float" else 9
    right = math.isclose(round(value, decimals), _number(truth), rel_tol=1e-9)
    return Verdict(float(right), f"{value:g}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _same_list(reply: str, truth: str) -> Verdict:
    found = re.search(r"\[[^\[\]]*\]", reading.tidy(reading.final(reply)))
    said = found[0] if found else f"[{reading.stated(reply) or ''}]"
    value, wanted = cells.literal(said), cells.literal(truth)
    if not isinstance(value, list) or not value:
        return UNRESOLVED
    return Verdict(float(value == wanted), said)


class MathVision(Extracted):
    """MathVision, with figures for each subject."""


def mathvision_first(item: Item, reply: str) -> Verdict:
    """VLMEvalKit's verdict before a judge is asked."""
    if options := cells.lettered(item.cells.get("choices", "")):
        found = can_infer(reply, options)
        return verdict_on(found, item.answer, latex.is_equal)
    return Verdict(1.0, reply) if latex.is_equal(reply, item.answer) else UNRESOLVED


def mathvision_then(item: Item, answer: str) -> Verdict:
    verdict = mathvision_first(item, answer)
    return verdict if verdict.resolved else Verdict(0.0, answer)


def strict_mathvision(item: Item, reply: str) -> Verdict:
    if options := cells.lettered(item.cells.get("choices", "")):
        return verdict_on(read_letter(reply, options), item.answer)
    return same_mathematics(reply, item.answer)


def same_mathematics(reply: str, truth: str) -> Verdict:
    """The stated answer of a reply against the truth, as mathematics."""
    if reading.refused(reply):
        return Verdict(0.0)
    stated = reading.stated(reply)
    if stated is None or len(truth) > shared().limits.length:
        return UNRESOLVED
    return Verdict(float(shared().same(stated, truth)), stated)


@dataclass(frozen=True)
class MathVerse:
    """MathVerse: a judge takes the answer out, and compares it where it is not the same text.
    `rule`: the verdict without a judge."""

    rule: Rule

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        verdict = self.rule(item, reply)
        if verdict.resolved or judge is None:
            return verdict
        prompt = asking.prompt("mathverse_extract", reply=reply)
        extracted = asking.asked(judge, prompt, str)
        if extracted is None:
            return UNRESOLVED
        if (same := same_text(item, extracted)).resolved:
            return same
        question = item.cells.get("question_for_eval", item.question)
        prompt = asking.prompt(
            "mathverse_score", question=question, answer=item.answer, extracted=extracted
        )
        said = asking.asked(judge, prompt, lambda text: {"0": 0.0, "1": 1.0}.get(text.strip()))
        return Verdict(said or 0.0, extracted, resolved=said is not None)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Of all rows, which VLMEvalKit leaves out, and of each version, subject and subfield."""
        figures = {"Overall": grouping.accuracy(scored)}
        for column in ("problem_version", "subject", "subfield"):
            parts: dict[str, list[Scored]] = {}
            for row in scored:
                if value := _described(row.item).get(column):
                    parts.setdefault(value, []).append(row)
            figures |= {part: grouping.accuracy(rows) for part, rows in sorted(parts.items())}
        return figures

    def cluster(self, item: Item) -> str:
        return item.id


def _described(item: Item) -> dict[str, str]:
    """Version and subfield of a problem, which stand in its metadata or in cells of their own."""
    try:
        metadata = json.loads(item.cells.get("metadata", "{}").replace("'", '"'))
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        return dict(item.cells)
    return {**item.cells, **{n: value for n, value in metadata.items() if isinstance(value, str)}}


def same_text(item: Item, text: str) -> Verdict:
    """Right where a text is the truth; what else it may say is for a judge."""
    text = text.strip()
    return Verdict(1.0, text) if text == item.answer.strip() else UNRESOLVED


def strict_mathverse(item: Item, reply: str) -> Verdict:
    truth = item.answer.strip()
    if len(truth) == 1 and truth in ascii_uppercase[:8]:
        return verdict_on(read_letter(reply, dict.fromkeys(ascii_uppercase[:8], "")), truth)
    verdict = same_mathematics(reply, truth)
    # other words may mean the same: only a judge can say that they do not
    return verdict if verdict.score or reading.refused(reply) else UNRESOLVED
