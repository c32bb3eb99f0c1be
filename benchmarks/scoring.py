"""Scoring beside a pure-Python loop over a spreadsheet.

    python benchmarks/scoring.py [--rows 5349] [--repeat 3]

The rows are made up, of the size of DocVQA's validation split: short answers, one to three of them
a question, and replies of which a third are right, a third misspelt and a third other words. The
peer writes replies to a spreadsheet and reads them back with openpyxl, then compares with a
Levenshtein distance of loops. Ours writes and reads lines of JSON, prepares the column as
VLMEvalKit's spreadsheet would, and scores in that profile. All scores have to be equal.
Needs openpyxl and rapidfuzz.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from ast import literal_eval
from collections.abc import Callable, Sequence
from pathlib import Path

from openpyxl import Workbook, load_workbook

from valley.evaluate.items import Answer, Item, Scored
from valley.evaluate.profiles import VLMEVALKIT
from valley.evaluate.store import Store, read_answers

#: The target: times as fast as the peer.
FASTER = 20.0
WORDS = (
    *("invoice", "total", "March", "1987", "Dr. Smith", "$1,024.50", "university of california"),
    *("director", "12:30", "table 4", "cigarettes", "annual report", "New York", "per cent"),
)


def rows(count: int) -> tuple[list[Item], list[str]]:
    """Questions with their answers, and a reply to each."""
    drawn = random.Random(0)
    items, replies = [], []
    for number in range(count):
        truth = " ".join(drawn.choices(WORDS, k=drawn.randint(1, 3)))
        truths = [truth, truth.lower(), truth.upper()][: drawn.randint(1, 3)]
        items.append(Item(str(number), {"question": "What is it?", "answer": repr(truths)}))
        kind = number % 3
        misspelt = "".join(letter for letter in truth if drawn.random() > 0.1)
        replies.append((truth, misspelt, " ".join(drawn.choices(WORDS, k=2)))[kind] or "-")
    return items, replies


def levenshtein(first: str, second: str) -> int:
    above = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        left = [row]
        for column, other in enumerate(second, 1):
            replaced = above[column - 1] + (letter != other)
            left.append(min(above[column] + 1, left[-1] + 1, replaced))
        above = left
    return above[-1]


def peer(items: Sequence[Item], replies: Sequence[str], folder: Path) -> list[float]:
    """A spreadsheet written and read, and a loop of loops."""
    path = folder / "replies.xlsx"
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for item, reply in zip(items, replies, strict=True):
        sheet.append([item.id, item.cells["question"], item.answer, reply])
    book.save(path)
    scores = []
    for _, _, answer, reply in load_workbook(path, read_only=True).active.values:
        said, distances = " ".join(reply.lower().split()), []
        for truth in literal_eval(answer):
            distance = levenshtein(" ".join(truth.lower().split()), said)
            distances.append(distance / max(len(truth.upper()), len(reply.upper())))
        score = 1 - min(distances)
        scores.append(score if score >= 0.5 else 0.0)
    return scores


def ours(items: Sequence[Item], replies: Sequence[str], folder: Path) -> list[float]:
    """Lines written and read, and the scorer of the profile."""
    path = folder / "replies.jsonl"
    path.unlink(missing_ok=True)
    with Store(path) as store:
        for item, reply in zip(items, replies, strict=True):
            store.append(Answer(item.id, "", reply, reply))
    answers = read_answers(path)
    scorer = VLMEVALKIT.scorers["anls"]
    prepared = VLMEVALKIT.prepare([answers[item.id].text for item in items])
    scored = [
        Scored(item, scorer.score(item, reply), reply)
        for item, reply in zip(VLMEVALKIT.read(items), prepared, strict=True)
    ]
    assert scorer.figures(scored)["Overall"] > 0
    return [row.verdict.score for row in scored]


def seconds(
    score: Callable[[Sequence[Item], Sequence[str], Path], list[float]],
    items: Sequence[Item],
    replies: Sequence[str],
) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        scores = score(items, replies, Path(folder))
        return time.perf_counter() - begun, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5349)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    items, replies = rows(asked.rows)
    seconds(ours, items[:10], replies[:10])  # imports
    taken: dict[str, list[float]] = {"a loop over a spreadsheet": [], "valley": []}
    for _ in range(asked.repeat):
        results = []
        for name, score in zip(taken, (peer, ours), strict=True):
            took, scores = seconds(score, items, replies)
            taken[name].append(took)
            results.append(scores)
        if results[0] != results[1]:
            raise SystemExit("the scores differ")
    medians = {name: statistics.median(times) for name, times in taken.items()}
    slow, fast = medians.values()
    print(f"| {asked.rows} rows, ANLS | seconds | rows a second |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} | {asked.rows / median:.0f} |")
    verdict = "met" if slow / fast >= FASTER else "missed"
    print(f"\nEqual scores. {slow / fast:.0f} times as fast; target {FASTER:.0f}: {verdict}.")


if __name__ == "__main__":
    main()
