"""WeMath: problems of two and three steps, asked as a whole and step by step.

What a model knows is told apart from what it has learnt by rote (Qiao et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import grouping
from valley.evaluate.scorers.choice import Choice, verdict_on

#: Problems of the published benchmark, which its rates are shares of.
PROBLEMS = 525
_SIGNS = str.maketrans("", "", "><:.")


def after_answer(reply: str) -> str | None:
    """The letter after the last `Answer`, as VLMEvalKit reads it without a judge."""
    said = reply.rpartition("Answer")[2].strip().translate(_SIGNS).strip()
    return said[0] if said and said[0] in "ABCDEFGH" else None


@dataclass(frozen=True)
class Counts:
    """Problems by how steps and whole went: wrong whole though every step is right; wrong whole and
    a wrong step; right whole with steps right; right whole with steps wrong. Strictly every step
    has to be right, loosely one is enough.
    """

    problems: int = 0
    inadequate: int = 0
    insufficient: int = 0
    mastered_strict: int = 0
    mastered_loose: int = 0
    rote_strict: int = 0
    rote_loose: int = 0


def counted(scored: Sequence[Scored]) -> Counts:
    problems = [found for rows in _problems(scored) if (found := _outcome(rows))]
    whole_wrong = [steps for steps, whole in problems if whole is False]
    whole_right = [steps for steps, whole in problems if whole is True]
    return Counts(
        problems=len(problems),
        inadequate=sum(all(step is True for step in steps) for steps in whole_wrong),
        insufficient=sum(any(step is False for step in steps) for steps in whole_wrong),
        mastered_strict=sum(all(step is True for step in steps) for steps in whole_right),
        mastered_loose=sum(any(step is True for step in steps) for steps in whole_right),
        rote_strict=sum(any(step is False for step in steps) for steps in whole_right),
        rote_loose=sum(all(step is False for step in steps) for steps in whole_right),
    )


def _problems(scored: Sequence[Scored]) -> list[list[Scored]]:
    return grouping.groups(scored, _problem)


def _problem(item: Item) -> str:
    """The number of steps with the problem's name: a name may be used for both numbers."""
    return f"{item.cells.get('key', '').partition('steps')[0]}:{item.cells.get('ID', item.id)}"


def _outcome(rows: Sequence[Scored]) -> tuple[list[bool | None], bool | None] | None:
    """Whether each step is right, and the whole; None for a problem without its first step."""
    right = {row.item.cells.get("key", ""): bool(row.verdict.score) for row in rows}
    number = rows[0].item.cells.get("key", "").partition("steps")[0]
    if f"{number}steps_1" not in right or not number.isdecimal() or int(number) > 9:
        return None
    steps = [right.get(f"{number}steps_{step}") for step in range(1, int(number) + 1)]
    return steps, right.get(f"{number}steps_multi")


@dataclass(frozen=True)
class WeMath(Choice):
    """`of`: the problems that rates are shares of, None for those at hand. `alone`: VLMEvalKit
    reads a letter in another way where there is no judge."""

    of: int | None = None
    alone: bool = False

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        if judge is None and self.alone:
            return verdict_on(after_answer(reply), item.answer)
        return super().score(item, reply, judge)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The strict score first; rates in percent. Rote memorisation is a share of the problems
        that are right as a whole."""
        counts = counted(scored)
        total = self.of or counts.problems or 1
        figures = {"Overall": _score(counts, counts.rote_strict, total)}
        figures["Score (Loose)"] = _score(counts, counts.rote_loose, total)
        figures["InsufficientKnowledge"] = counts.insufficient / total * 100
        figures["InadequateGeneralization"] = counts.inadequate / total * 100
        for name, mastered, rote in (
            ("Strict", counts.mastered_strict, counts.rote_strict),
            ("Loose", counts.mastered_loose, counts.rote_loose),
        ):
            figures[f"CompleteMastery ({name})"] = mastered / total * 100
            figures[f"RoteMemorization ({name})"] = rote / max(mastered + rote, 1) * 100
        return figures

    def cluster(self, item: Item) -> str:
        return _problem(item)


def _score(counts: Counts, rote: int, total: int) -> float:
    return (total - 0.5 * counts.inadequate - rote - counts.insufficient) / total * 100
