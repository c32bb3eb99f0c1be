"""Own questions as benchmarks: two tables in the format that VLMEvalKit's users know.

    python examples/evaluate/tables.py FOLDER

writes FOLDER/POPE.tsv, yes-or-no questions about easy-vqa's pictures, and FOLDER/OCRBench.tsv, the
handwritten digits of scikit-learn. A picture stands in base64 in the row of its first question; the
others name the index of that row. Needs both: pip install easy-vqa scikit-learn.
"""

from __future__ import annotations

import base64
import csv
import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from valley.data.synthetic.easy import easy_questions

COLUMNS = ("index", "image", "question", "answer", "category")


def easy_table(path: Path, pictures: int) -> Path:
    """The yes-or-no questions about easy-vqa's first test pictures."""
    rows: list[tuple[object, ...]] = []
    for file, pairs in easy_questions("test")[:pictures]:
        picture = base64.b64encode(Path(file).read_bytes()).decode()
        asked = [(question, answer) for question, answer in pairs if answer in ("yes", "no")]
        for number, (question, answer) in enumerate(asked):
            cell = picture if number == 0 else len(rows) - number
            rows.append((len(rows), cell, question, answer.capitalize(), "easy"))
    return _write(path, rows)


def digits_table(path: Path, number: int) -> Path:
    """The first handwritten digits, each of 8 x 8 grey values from 0 to 16."""
    rows: list[tuple[object, ...]] = []
    digits = load_digits()
    for index, (greys, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        picture = Image.fromarray((255 - greys * 255 // 16).astype(np.uint8))
        file = BytesIO()
        picture.resize((112, 112), Image.Resampling.NEAREST).save(file, "PNG")
        cell = base64.b64encode(file.getvalue()).decode()
        question = "What number is written?"
        rows.append((index, cell, question, f"['{digit}']", "Digit String Recognition"))
    return _write(path, rows[:number])


def _write(path: Path, rows: Iterable[tuple[object, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(easy_table(folder / "POPE.tsv", pictures=12))
    print(digits_table(folder / "OCRBench.tsv", number=40))
