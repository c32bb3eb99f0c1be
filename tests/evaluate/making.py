"""Tables in the public format, made of pictures that anybody may have."""

from __future__ import annotations

import base64
import csv
import runpy
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.Image import Image as Picture

EXAMPLE = Path(__file__).parents[2] / "examples" / "evaluate" / "tables.py"
#: (path, pictures) -> a table of easy-vqa's questions with yes or no for an answer, as POPE's.
easy_table = runpy.run_path(str(EXAMPLE))["easy_table"]
#: Eight rows of eight grey values from 0 to 16, a digit each, and which one it is.
DIGITS = Path(__file__).parent.parent / "data" / "digits.csv"


def encoded(picture: Picture, format: str = "PNG") -> str:
    """A picture as the cell of a table."""
    file = BytesIO()
    picture.save(file, format)
    return base64.b64encode(file.getvalue()).decode()


def write_table(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def digits_table(path: Path) -> Path:
    """Handwritten digits in the format of OCRBench."""
    rows: list[dict[str, object]] = []
    for line in DIGITS.read_text(encoding="utf-8").splitlines():
        *greys, digit = map(int, line.split(","))
        picture = Image.new("L", (8, 8))
        picture.putdata([255 - grey * 255 // 16 for grey in greys])
        rows.append(
            {
                "index": len(rows),
                "image": encoded(picture.resize((112, 112), Image.Resampling.NEAREST)),
                "question": "What number is written?",
                "answer": f"['{digit}']",
                "category": "Digit String Recognition",
            }
        )
    return write_table(path, rows)
