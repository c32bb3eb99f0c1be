"""How pandas reads a column of text, without pandas: what published scores were made of.

Source: `pandas.read_csv` with its defaults, as of pandas 2 and 3: words that mean "no value" are
dropped, and a column whose other cells are all numbers, or all truth values, is converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from valley.evaluate.items import Item

#: What pandas takes for a missing value.
MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,400}\s*")
_FLOAT = re.compile(
    r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*|[+-]?inf(inity)?", re.IGNORECASE
)


def as_pandas(cells: Sequence[str]) -> list[str | None]:
    """A column as pandas would give it back, each cell as `str` writes it; None where missing.

    Columns with a whole number beyond 64 bits stay text: what pandas makes of them depends on the
    order of their cells.
    """
    kept = [None if cell in MISSING else cell for cell in cells]
    present = [cell for cell in kept if cell is not None]
    whole = [int(cell) for cell in present if _INTEGER.fullmatch(cell)]
    if not present or any(abs(number) >= 2**63 for number in whole):
        return kept
    if all(cell.lower() in ("true", "false") for cell in present):
        return _each(kept, str.capitalize)
    if len(whole) == len(cells):
        return _each(kept, lambda cell: str(int(cell)))
    if all(_FLOAT.fullmatch(cell) for cell in present):
        return _each(kept, lambda cell: str(float(cell)))
    return kept


def _each(cells: Sequence[str | None], write: Callable[[str], str]) -> list[str | None]:
    return [None if cell is None else write(cell) for cell in cells]


def table(items: Sequence[Item]) -> list[Item]:
    """The rows of a table as pandas reads them: words for missing are gone."""
    names = list(dict.fromkeys(name for item in items for name in item.cells))
    columns = {name: as_pandas([item.cells.get(name, "") for item in items]) for name in names}
    return [
        replace(item, cells={n: cell for n in names if (cell := columns[n][row]) is not None})
        for row, item in enumerate(items)
    ]
