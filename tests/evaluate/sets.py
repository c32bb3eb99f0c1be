"""Benchmarks made up for tests: scorers of a few lines, items and runs of random verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from valley.evaluate.items import Item, Judge, Question, Scored, Verdict


@dataclass(frozen=True)
class Plain:
    """Right is what says the answer; the mean, and that of each category."""

    scale: float = 100.0

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        if reply == "?":
            said = judge(Question(item.question)) if judge else None
            return Verdict(float(said == item.answer), said, resolved=judge is not None)
        return Verdict(float(reply == item.answer), reply)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        groups: dict[str, list[float]] = {"Overall": []}
        for one in scored:
            groups["Overall"].append(one.verdict.score)
            groups.setdefault(one.item.cells["category"], []).append(one.verdict.score)
        return {name: float(np.mean(group)) * self.scale for name, group in groups.items()}

    def cluster(self, item: Item) -> str:
        return item.cells.get("picture", item.id)


class Pairs(Plain):
    """Like MME: a picture counts where both of its questions are right."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        acc = np.mean([one.verdict.score for one in scored]) * 100
        return {"Overall": float(acc + np.mean(self.both(scored)) * 100)}

    def both(self, scored: Sequence[Scored]) -> list[float]:
        pictures: dict[str, list[float]] = {}
        for one in scored:
            pictures.setdefault(one.item.cells["picture"], []).append(one.verdict.score)
        return [group[0] * group[1] for group in pictures.values()]


class PairPoints(Pairs):
    """The number of pictures of which both questions are right."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        return {"Final Score": sum(self.both(scored))}


class Points(Plain):
    """Like OCRBench: the number of right replies."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        return {"Final Score": sum(one.verdict.score for one in scored)}


def items(number: int, pictures: int | None = None) -> list[Item]:
    """Items in two categories; `pictures` of them, if given, are shared evenly."""
    return [
        Item(
            f"{index}",
            {
                "question": f"What is {index}?",
                "answer": f"{index % 7}",
                "category": "odd" if index % 2 else "even",
                **({"picture": f"{index * pictures // number}.png"} if pictures else {}),
            },
        )
        for index in range(number)
    ]


def run(of: Sequence[Item], right: Callable[[int], float]) -> list[Scored]:
    return [Scored(item, Verdict(float(right(index)))) for index, item in enumerate(of)]
