"""Own questions as a benchmark: a table in the format of POPE, of easy-vqa's pictures.

    python examples/evaluate/tables.py FOLDER

writes FOLDER/POPE.tsv. A picture stands in base64 in the row of its first question; the others
name the index of that row. Needs easy-vqa (MIT): pip install 'valley-vlm[nano]'.
"""

from __future__ import annotations

import base64
import csv
import sys
from pathlib import Path

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
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


if __name__ == "__main__":
    print(easy_table(Path(sys.argv[1]) / "POPE.tsv", pictures=12))
