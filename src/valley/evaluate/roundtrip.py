"""What pandas (2 and later) makes of text that goes through a file and back, as pure functions.

VLMEvalKit keeps replies in a spreadsheet and benchmarks in a table of tab-separated values, and
scores what it reads from them. Words such as `None` or `NA` are missing there, and a column of
nothing but numbers becomes numbers: `007` is 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from valley.evaluate.items import Item

#: Cells that pandas reads as missing.
MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
#: Text of a missing cell.
NAN = "nan"
#: UTF-16 units of the longest text in a cell.
CELL = 32_767

#: White space around a number. It is cut off first: two searches for it in one pattern would take
#: the square of its length.
_SPACE = " \t\n\v\f\r"
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_FLOAT = re.compile(
    r"([+-]?)(?:(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?|(inf(?:inity)?))", re.ASCII | re.IGNORECASE
)
_TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
#: Characters that a spreadsheet's XML cannot hold.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_FORMULA = re.compile(r"=|\{=.*\}\Z", re.DOTALL)
_LINK = re.compile(r"\A(?:mailto|internal|external):")


def spreadsheet(texts: Sequence[str]) -> list[str]:
    """A column of replies, written to a spreadsheet by xlsxwriter and read back."""
    read = column([_cell(text) for text in texts])
    return [NAN if text is None else text for text in read]


def column(texts: Sequence[str | None]) -> list[str | None]:
    """A column of a table as pandas reads it, as text. None where a cell is missing."""
    cells = [None if text is None or text in MISSING else text for text in texts]
    present = [text for text in cells if text is not None]
    partial = len(present) < len(cells)
    for converted in (_integers(present, partial), _floats(present), _truths(present)):
        if present and converted is not None:
            values = iter(converted)
            return [None if text is None else next(values) for text in cells]
    return cells


def table(items: Sequence[Item]) -> list[Item]:
    """The rows of a benchmark as pandas reads them: cells with words for missing are gone."""
    names = dict.fromkeys(name for item in items for name in item.cells)
    changed = {}
    for name in names:
        cells = [item.cells.get(name) for item in items]
        if (read := column(cells)) != cells:
            changed[name] = read
    return [
        _with(item, {n: read[row] for n, read in changed.items()}) for row, item in enumerate(items)
    ]


def _with(item: Item, read: Mapping[str, str | None]) -> Item:
    """The item with what cells were read as, in the order of its own; missing ones are gone."""
    if not read:
        return item
    cells = {n: cell for n, text in item.cells.items() if (cell := read.get(n, text)) is not None}
    return replace(item, cells=cells)


def _cell(text: str) -> str:
    """What comes back of one text: a formula was never computed, a link is shown without its
    kind, control characters are escaped, and what is too long is cut."""
    if len(text) <= CELL // 2 and text.isprintable() and ":" not in text and text[:1] not in "={":
        return text
    if _FORMULA.match(text):
        return "0"
    if len(text) > CELL // 2:
        text = text.encode("utf-16-le", "surrogatepass")[: 2 * CELL].decode("utf-16-le", "ignore")
    return _CONTROL.sub(lambda found: f"_x{ord(found[0]):04X}_", _LINK.sub("", text, count=1))


def _integers(texts: Sequence[str], partial: bool) -> list[str] | None:
    """The texts of a column of whole numbers, none of them missing."""
    if partial or not all(_whole(text) for text in texts):
        return None
    return [str(int(text)) for text in texts]


def _whole(text: str) -> bool:
    return len(text) <= CELL // 8 and _INTEGER.fullmatch(text.strip(_SPACE)) is not None


def _floats(texts: Sequence[str]) -> list[str] | None:
    """Numbers of a column that is not whole; a whole one beyond 64 bits keeps all of it text."""
    numbers = []
    for text in texts:
        if (number := _float(text)) is None:
            return None
        numbers.append(str(number))
    if any(_whole(text) and not -(2**63) <= int(text) < 2**63 for text in texts):
        return list(texts)
    return numbers


def _float(text: str) -> float | None:
    """A number as pandas reads it: of seventeen digits, leading zeros among them, and scaled by a
    power of ten, which may differ from the nearest float in the last place."""
    found = _FLOAT.fullmatch(text.strip(_SPACE))
    if not found:
        return None
    sign, whole, decimals, exponent, infinite = found.groups()
    if infinite:
        return float(sign + "inf")
    if not (digits := whole + (decimals or "")):
        return None
    power = max(len(whole) - 17, 0) - max(min(len(digits), 17) - len(whole), 0)
    power += max(min(int((exponent or "0")[:8]), 10**6), -(10**6))
    value = 0.0
    for digit in digits[:17]:
        value = value * 10 + int(digit)
    return -_scaled(value, power) if sign == "-" else _scaled(value, power)


def _scaled(value: float, power: int) -> float:
    if power > 308:
        return float("inf")
    if power >= 0:
        return value * float(f"1e{power}")
    if power < -616:
        return 0.0
    if power < -308:
        return value / float(f"1e{-308 - power}") / 1e308
    return value / float(f"1e{-power}")


def _truths(texts: Sequence[str]) -> list[str] | None:
    if not all(text in _TRUTHS for text in texts):
        return None
    return [str(_TRUTHS[text]) for text in texts]
