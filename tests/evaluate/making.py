"""Tables in the public format, made of pictures that anybody may have."""

from __future__ import annotations

import base64
import csv
import runpy
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from PIL.Image import Image as Picture

EXAMPLE = Path(__file__).parents[2] / "examples" / "evaluate" / "tables.py"
_TABLES = runpy.run_path(str(EXAMPLE))
#: (path, pictures) -> a table of easy-vqa's questions with yes or no for an answer, as POPE's.
easy_table = _TABLES["easy_table"]
#: (path, number) -> a table of scikit-learn's handwritten digits, as OCRBench's.
digits_table = _TABLES["digits_table"]


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
