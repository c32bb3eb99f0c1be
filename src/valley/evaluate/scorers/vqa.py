"""Short answers: soft accuracy (TextVQA), ANLS (DocVQA, InfoVQA), relaxed accuracy (ChartQA) and
exact ones (OCR-VQA).

A measure compares a reply with the truths, and the row's score is made of what it says of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import cells, grouping, reading
from valley.evaluate.scorers.normalising import answer
from valley.mathematics import number

#: Similarity below which an answer is worth nothing (Biten et al. 2019).
THRESHOLD = 0.5
#: Share of the truth by which a number may be off (Masry et al. 2022).
RELATIVE = 0.05
#: Characters of a reply that a verdict shows.
SHOWN = 1_000
#: People who have to agree with an answer for it to be right (Antol et al. 2015).
PEOPLE = 3


def soft(reply: str, truths: Sequence[str]) -> list[float]:
    """For each truth, how many of the *others* are the reply, of three, as in VLMEvalKit."""
    said, wanted = answer(reply), [answer(truth) for truth in truths]
    matches = [truth == said for truth in wanted]
    return [min(1, (sum(matches) - own) / PEOPLE) for own in matches]


def distances(reply: str, truths: Sequence[str]) -> list[float]:
    """Levenshtein distances, by the length of the longer of the unchanged texts in capitals, as in
    VLMEvalKit. A truth that is no text raises AttributeError, as there."""
    said, capitals = " ".join(reply.lower().split()), len(reply.upper())
    distance, found = _levenshtein().distance, []
    for truth in truths:
        length = max(len(truth.upper()), capitals)
        apart = distance(" ".join(truth.lower().split()), said)
        found.append(apart / length if length else 0.0)
    return found


@cache
def _levenshtein() -> Any:
    """The module, which only these scorers need."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein


def relaxed(reply: str, truths: Sequence[Any]) -> list[float]:
    """Whether the reply is within 5 % of each truth, or else the same text, as in VLMEvalKit."""
    said = reply.strip()
    return [float(_relaxed(said, str(truth))) for truth in truths]


def _relaxed(said: str, truth: str) -> bool:
    value, wanted = _to_float(said), _to_float(truth)
    if value is not None and wanted:
        return abs(value - wanted) / abs(wanted) <= RELATIVE
    return said.lower() == truth.lower()


def _to_float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None


def exact(reply: str, truths: Sequence[str]) -> list[float]:
    """Whether the reply is each truth, capitals and white space around aside."""
    said = reply.strip().lower()
    return [float(truth.strip().lower() == said) for truth in truths]


def mean(matches: Sequence[float]) -> float:
    return float(np.mean(matches))


def best(matches: Sequence[float]) -> float:
    return float(max(matches))


def similarity(distances: Sequence[float]) -> float:
    """One minus the least distance, if that is half or more."""
    score = 1 - min(distances)
    return float(score) if score >= THRESHOLD else 0.0


def strict_soft(reply: str, truths: Sequence[str]) -> list[float]:
    """For each truth, how many of the *others* are the reply, of three; a single one decides."""
    said, wanted = answer(_plain(reply)), [answer(_plain(truth)) for truth in truths]
    matches = [truth == said for truth in wanted]
    if len(matches) == 1:
        return [float(matches[0])]
    return [min(1, (sum(matches) - own) / PEOPLE) for own in matches]


def _plain(text: str) -> str:
    return reading.tidy(reading.final(str(text))).strip(" .:;,!?'\"。").replace("’", "'")


def strict_distances(reply: str, truths: Sequence[Any]) -> list[float]:
    """Normalised Levenshtein distances of the texts that are compared."""
    said, distance = _folded(reading.final(reply)), _levenshtein().normalized_distance
    return [distance(_folded(str(truth)), said) for truth in truths]


def _folded(text: str) -> str:
    return " ".join(reading.tidy(text).casefold().split())


def strict_relaxed(reply: str, truths: Sequence[Any]) -> list[float]:
    """Whether the reply is within 5 % of each truth, or else the same words. Numbers may have
    separators, a currency and a percent sign."""
    said = reading.stated(reply) or reading.final(reply)
    return [float(_strict_relaxed(said, str(truth))) for truth in truths]


def strict_exact(reply: str, truths: Sequence[Any]) -> list[float]:
    """Whether the reply is each truth, capitals and the punctuation around aside."""
    said = reading.bare(reading.final(reply))
    return [float(reading.bare(str(truth)) == said) for truth in truths]


def _strict_relaxed(said: str, truth: str) -> bool:
    if reading.bare(said) == reading.bare(truth):
        return True
    return any(
        math.isclose(value, wanted, rel_tol=0, abs_tol=RELATIVE * abs(wanted) * (1 + 1e-9))
        for value, wanted in zip(_amounts(said), _amounts(truth), strict=False)
    )


def _amounts(text: str) -> list[float]:
    """The number of a text, and its hundredth where it is a percentage."""
    text = reading.tidy(text.replace("$", "")).rstrip(".")
    value = number(text.removesuffix("%").strip("€£¥ ")) if len(text) <= reading.DIGITS else None
    if value is None or not abs(value) < 1e300:
        return []
    return [float(value), value / 100 if text.endswith("%") else float(value)]


_YEAR = re.compile(r"\byears?\b|\bwhen\b|年", re.IGNORECASE)


@dataclass(frozen=True)
class Vqa:
    """`measure`: what a reply has to do with each of the truths. `total`: the score of that."""

    measure: Callable[[str, Sequence[str]], list[float]]
    total: Callable[[Sequence[float]], float]

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        truths = list(map(str, truths_of(item)))
        return Verdict(self.total(self.measure(reply, truths)), reply[:SHOWN])

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Of all rows, and of each split or else each category."""
        parts = grouping.by(scored, "split") or grouping.by(scored, "category")
        return {"Overall": grouping.accuracy(scored)} | {
            part: grouping.accuracy(rows) for part, rows in parts.items()
        }

    def cluster(self, item: Item) -> str:
        return item.id


@dataclass(frozen=True)
class YearsExact(Vqa):
    """Questions about years are not answered by a year that is 5 % off."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        if _YEAR.search(item.question) and all(_is_year(truth) for truth in truths_of(item)):
            right = any(reading.says(reply, str(truth)) for truth in truths_of(item))
            return Verdict(float(right), reply[:SHOWN])
        return super().score(item, reply, judge)


def _is_year(truth: Any) -> bool:
    return re.fullmatch(r"1[5-9]\d\d|20\d\d", str(truth).strip()) is not None


def truths_of(item: Item) -> list[Any]:
    """The answers of a row, of which there may be a list."""
    return cells.listed(item.answer)
