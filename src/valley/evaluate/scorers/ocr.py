"""OCRBench: an answer has to be in the reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import cells, reading

HANDWRITTEN = "Handwritten Mathematical Expression Recognition"
RECOGNITION = "Text Recognition"
#: What is counted, in the order of the published table.
PARTS = (
    RECOGNITION,
    "Scene Text-centric VQA",
    "Doc-oriented VQA",
    "Key Information Extraction",
    HANDWRITTEN,
)


def holds(reply: str, truth: str, handwritten: bool) -> bool:
    """Whether a reply holds a truth, as a part of a longer word too, as in VLMEvalKit."""
    if handwritten:
        said, wanted = (t.strip().replace("\n", " ").replace(" ", "") for t in (reply, truth))
    else:
        said, wanted = (t.lower().strip().replace("\n", " ") for t in (reply, truth))
    return wanted in said


def strict_holds(reply: str, truth: str, handwritten: bool) -> bool:
    """Whether the answer of a reply holds a truth as whole words; an empty one is held by none."""
    said = reading.final(reply)
    if handwritten:
        said, wanted = ("".join(reading.tidy(text).split()) for text in (said, truth))
        return bool(wanted) and wanted in said
    words = " ".join(reading.tidy(said).casefold().split())
    return bool(reading.places(words, " ".join(reading.tidy(truth).casefold().split())))


@dataclass(frozen=True)
class OcrBench:
    """`holds`: whether a reply holds a truth of a category that is handwritten mathematics."""

    holds: Callable[[str, str, bool], bool]

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        handwritten = item.cells.get("category") == HANDWRITTEN
        truths = map(str, cells.listed(item.answer))
        found = next((truth for truth in truths if self.holds(reply, truth, handwritten)), None)
        return Verdict(float(found is not None), found)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Right replies out of a thousand, and those of each part."""
        counts = dict.fromkeys(PARTS, 0.0)
        for row in scored:
            counts[part_of(row.item)] += row.verdict.score
        return {"Overall": sum(counts.values()), **counts}

    def cluster(self, item: Item) -> str:
        return item.id


def part_of(item: Item) -> str:
    """The part of the published table that a category counts in."""
    category = item.cells.get("category", "")
    return category if category in PARTS else RECOGNITION
