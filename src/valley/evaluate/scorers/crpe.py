"""CRPE: four rows are one question with its options in turn, and all four have to be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import grouping, reading

#: Rows of one question.
ROWS = 4
LETTERS = "ABCD"


def is_correct(truth: str, reply: str) -> bool:
    """VLMEvalKit's rule. Raises IndexError for an empty reply, as there."""
    if len(reply) == 1 or reply[0] in LETTERS:
        return reply[0] == truth[0]
    return truth[4:].lower() in reply.lower()


def published(truth: str, reply: str) -> Verdict:
    if not reply or not truth:
        return Verdict(0.0)
    return Verdict(float(is_correct(truth, reply)), reply[0] if reply[0] in LETTERS else None)


def strict(truth: str, reply: str) -> Verdict:
    """The letter, or else the words of the truth, whole."""
    if found := reading.letter(reply, dict.fromkeys(LETTERS, "")):
        return Verdict(float(found == truth[:1]), found)
    right = reading.says(reply, truth[2:].strip(" ."))
    resolved = right is not None or reading.refused(reply)
    return Verdict(float(right or False), reading.stated(reply), resolved)


@dataclass(frozen=True)
class Crpe:
    """`rule`: the verdict on a reply, given the truth."""

    rule: Callable[[str, str], Verdict]

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        return self.rule(item.answer, reply)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Shares of questions, each of the category of its first wrong row, or else its last."""
        questions = [
            Scored(_deciding(rows).item, Verdict(float(grouping.all_right(rows))))
            for rows in grouping.groups(scored, self.cluster)
        ]
        return grouping.accuracies(questions)

    def cluster(self, item: Item) -> str:
        """The question, by the row's number."""
        return str(int(item.id) // ROWS) if item.id.isdecimal() else item.id


def _deciding(rows: Sequence[Scored]) -> Scored:
    """The row at which it is known whether a question is right."""
    return next((row for row in rows if not row.verdict.score), rows[-1])
