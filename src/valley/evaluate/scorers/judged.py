"""MMVet and LogicVista, whose replies a judge reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import asking, grouping, reading

CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")
SKILLS = ("inductive", "deductive", "numerical", "spatial", "mechanical")


def mark(said: str) -> float | None:
    """A judge's mark, a bare number from 0 to 1."""
    try:
        value = float(said)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


@dataclass(frozen=True)
class MMVet:
    """A judge gives marks. `doubled`: rows of one capability count twice in its figure, because
    VLMEvalKit counts capabilities and their combinations under one name."""

    doubled: bool = False

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        truth = item.answer.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
        prompt = asking.prompt("mmvet", question=item.question, answer=truth, reply=reply)
        value = asking.asked(judge, prompt, mark)
        return Verdict(value or 0.0, resolved=value is not None)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Overall, of each capability, and of each combination of them."""
        parts: dict[str, list[float]] = {name: [] for name in ("Overall", *CAPABILITIES)}
        for row in scored:
            category = row.item.cells.get("category", "")
            combination = category.replace(",", "_")
            held = [name for name in CAPABILITIES if name in category]
            if self.doubled or combination not in held:
                held.append(combination)
            for name in ("Overall", *held):
                parts.setdefault(name, []).append(row.verdict.score)
        return {name: sum(marks) / len(marks) * 100 for name, marks in parts.items() if marks}

    def cluster(self, item: Item) -> str:
        return item.id


@dataclass(frozen=True)
class LogicVista:
    """The options chosen, all of them and no other. `read`: how a reply is read without a judge,
    None where it is not."""

    read: Callable[[str], str | None] | None = None

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        found = self.read(reply) if self.read else None
        if found is None and judge is not None:
            prompt = asking.prompt("logicvista", question=item.question, reply=reply)
            found = asking.asked(judge, prompt, capitals)
        if found is None:
            return Verdict(0.0, resolved=False)
        truth = "".join(sorted(letter.lower() for letter in item.answer.split(", ")))
        return Verdict(float("".join(sorted(found.lower())) == truth), found)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        figures = {"Overall": grouping.accuracy(scored)}
        for skill in SKILLS:
            if rows := [row for row in scored if skill in row.item.cells.get("skill", "")]:
                figures[skill] = grouping.accuracy(rows)
        return figures

    def cluster(self, item: Item) -> str:
        return item.id


def capitals(said: str) -> str | None:
    """A judge's letters; with anything else among them they are none."""
    return said if said.isupper() and said.isalpha() else None


def several_letters(reply: str) -> str | None:
    """The letters that a reply states: `A`, `A, C`, `B and D`, `(A)(C)`."""
    stated = reading.stated(reply)
    said = reading.tidy(stated).strip(" .。") if stated else ""
    found = re.fullmatch(r"\W*([A-H])(?:(?:\W|\band\b|和)*([A-H]))*\W*", said)
    return "".join(sorted(set(re.findall("[A-H]", said)))) if found else None
