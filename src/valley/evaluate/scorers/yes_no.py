"""Yes or no: HallusionBench, MME, POPE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import asking, grouping, reading
from valley.evaluate.scorers.choice import REFUSED, verdict_on
from valley.evaluate.scorers.normalising import punctuation

#: MME's two halves, added up in these orders.
PERCEPTION = (
    *("OCR", "artwork", "celebrity", "color", "count"),
    *("existence", "landmark", "position", "posters", "scene"),
)
REASONING = ("code_reasoning", "commonsense_reasoning", "numerical_calculation", "text_translation")


def extraction(reply: str) -> str | None:
    """`Yes` or `No` as VLMEvalKit reads it."""
    words = punctuation(reply.lower()).split()
    if ("yes" in words) == ("no" in words):
        return None
    return "Yes" if "yes" in words else "No"


def read_yes_no(reply: str) -> str | None:
    """`Yes` or `No` in the strict profile, `REFUSED` where a reply gives no answer."""
    found = reading.yes_no(reply)
    return REFUSED if found is None and reading.refused(reply) else found


@dataclass(frozen=True)
class YesNo:
    """The reply is `Yes` or `No`. `read`: how it, or a judge's words on it, is read."""

    read: Callable[[str], str | None]

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        found = self.read(reply)
        if found is None and judge is not None:
            prompt = asking.prompt("yes_no", question=item.question, reply=reply)
            found = asking.asked(judge, prompt, self.read)
        return verdict_on(found, item.answer)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        return grouping.accuracies(scored)

    def cluster(self, item: Item) -> str:
        return item.id


@dataclass(frozen=True)
class Mme(YesNo):
    """MME: accuracy of questions plus accuracy of pictures, out of 2,800. The two questions on a
    picture share its `image_path`."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        points = {
            category: grouping.accuracy(rows) + grouping.percent(map(_both, self._pictures(rows)))
            for category, rows in grouping.by(scored, "category").items()
        }
        perception, reasoning = (
            sum(points.get(name, 0.0) for name in half) for half in (PERCEPTION, REASONING)
        )
        halves = {"perception": perception, "reasoning": reasoning}
        return {"Overall": perception + reasoning, **halves, **points}

    def _pictures(self, scored: Sequence[Scored]) -> list[list[Scored]]:
        return grouping.groups(scored, self.cluster)

    def cluster(self, item: Item) -> str:
        return item.cells.get("image_path", item.id)


def _both(rows: Sequence[Scored]) -> float:
    """Whether the first two questions on a picture are right."""
    return float(grouping.all_right(rows[:2]))


@dataclass(frozen=True)
class Hallusion(YesNo):
    """HallusionBench. Fields four to six of an index are set, figure and question."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The mean of three accuracies: of all, of figures and of questions, in which every reply
        has to be right; then the three, and those of each part."""
        figures = three = self.accuracies(scored)
        for column in ("category", "l2-category"):
            for part, rows in grouping.by(scored, column).items():
                named = {f"{part}: {name}": v for name, v in self.accuracies(rows).items()}
                figures = figures | named
        return {"Overall": sum(three.values()) / 3, **figures}

    def accuracies(self, scored: Sequence[Scored]) -> dict[str, float]:
        return {
            "aAcc": grouping.accuracy(scored),
            "fAcc": _groups(scored, field=4),
            "qAcc": _groups(scored, field=5),
        }

    def cluster(self, item: Item) -> str:
        return _part(item, 3)


def _groups(scored: Sequence[Scored], field: int) -> float:
    found = grouping.groups(scored, lambda item: f"{_part(item, 3)}_{item.id.split('_')[field]}")
    return grouping.percent(map(grouping.all_right, found))


def _part(item: Item, field: int) -> str:
    return f"{item.cells.get('l2-category', '')}_{item.id.split('_')[field]}"


@dataclass(frozen=True)
class Pope(YesNo):
    """POPE: F1 of `Yes`. A row of several categories counts once in each."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        parts: dict[str, list[Scored]] = {}
        for row in scored:
            for category in row.item.cells.get("category", "").split(","):
                parts.setdefault(category, []).append(row)
        every = [row for row in scored for _ in row.item.cells.get("category", "").split(",")]
        figures = self.rates(every)
        for category in sorted(filter(None, parts)):
            rates = self.rates(parts[category]).items()
            figures |= {category if n == "Overall" else f"{category}: {n}": v for n, v in rates}
        return figures

    def rates(self, scored: Sequence[Scored]) -> dict[str, float]:
        """F1 as "Overall", accuracy, precision and recall, in percent."""
        pairs = [(row.item.answer == "Yes", _positive(row)) for row in scored]
        f1, precision, recall = f1_of(pairs)
        return {
            "Overall": f1 * 100,
            "acc": grouping.accuracy(scored),
            "precision": precision * 100,
            "recall": recall * 100,
        }


def _positive(row: Scored) -> bool:
    """Whether a reply counts as `Yes`."""
    return row.item.answer == "Yes" if row.verdict.score else row.verdict.extracted == "Yes"


def f1_of(pairs: Iterable[tuple[bool, bool]]) -> tuple[float, float, float]:
    """F1, precision and recall of (truth, reply), 0 where they are not defined."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for pair in pairs:
        counts[pair] += 1
    hits, missed, wrong = (counts[key] for key in ((True, True), (True, False), (False, True)))
    precision = hits / (hits + wrong) if hits + wrong else 0.0
    recall = hits / (hits + missed) if hits + missed else 0.0
    both = precision + recall
    return 2 * (precision * recall) / both if both else 0.0, precision, recall
