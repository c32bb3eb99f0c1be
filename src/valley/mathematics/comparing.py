"""Whether two texts are the same mathematics, by math-verify and SymPy.

`same_numbers` is safe on any text. `same` is not: SymPy may compute for ever, or use all memory,
on a short line. It runs in a child process, this file being its program (`checking.py` starts it).
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

from valley.mathematics.serving import serve

#: Relative difference of numbers taken as equal where one is not exact. The report gives none:
#: five digits written right are enough, one digit of a count or a year is not.
TOLERANCE = 1e-5

_PLAIN = re.compile(
    r"[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?",
    re.ASCII,
)
_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\{([^{}]*)\}")
_WORDS = re.compile(r"[^\W\d_]{3,}(?:\s+[^\W\d_]+)*")


def _tidy(text: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", text).replace("\u2212", "-").split())
    return text.removesuffix(".")


def number(text: str) -> int | float | None:
    """A plain number such as `1,234`, `-0.5` or `6e23`; None for anything else."""
    text = _tidy(text)
    if not _PLAIN.fullmatch(text):
        return None
    digits = re.sub("[, ]", "", text)
    if digits.lstrip("+-").isdecimal():
        return int(digits)
    value = float(digits)
    return value if math.isfinite(value) else None


def same_numbers(answer: str, truth: str, tolerance: float = TOLERANCE) -> bool | None:
    """Whether two plain numbers are equal, None where either is none. Whole ones are exact."""
    first, second = number(answer), number(truth)
    if first is None or second is None:
        return None
    if isinstance(first, int) and isinstance(second, int):
        return first == second
    try:
        return math.isclose(first, second, rel_tol=tolerance)
    except OverflowError:  # a whole number beyond every float
        return False


def same(answer: str, truth: str, tolerance: float = TOLERANCE) -> bool:
    """Whether an answer says what the truth says: numbers, expressions, equations, sets, with or
    without LaTeX. `50%` is 50 and 0.5; math-verify drops units. May not return: for a child process
    only."""
    if (plain := same_numbers(answer, truth, tolerance)) is not None:
        return plain
    answer, truth = _latex(answer), _latex(truth)
    if _WORDS.fullmatch(truth):  # else letters are factors, and their order does not matter
        return _TEXT.sub(r"\1", answer) == truth
    if answer.endswith("%") and truth.endswith("%"):
        answer, truth = answer[:-1], truth[:-1]
    return any(
        _equal(found, true, tolerance) for found in _meanings(answer) for true in _meanings(truth)
    )


def _latex(text: str) -> str:
    """Plain notation as LaTeX on one line, without delimiters."""
    text = _tidy(re.sub(r"\\[()\[\]]|\\?\$", " ", text)).replace("\\%", "%").replace("**", "^")
    text = re.sub(r"(?<=\d)[eE]([+-]?\d+)", r" \\times 10^{\1}", text)
    return re.sub(r"\^\s*([+-]?\d+(?:\.\d+)?)", r"^{\1}", text)


def _meanings(text: str) -> list[Any]:
    """SymPy's objects for what a text may say, none if it cannot be read."""
    from math_verify import LatexExtractionConfig, parse

    bare = text.removesuffix("%")
    found = parse(
        f"${bare}$",
        [LatexExtractionConfig()],  # its other reader is built on eval
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
    )
    return [*found, *(item / 100 for item in found)] if bare != text else found


def _equal(found: Any, true: Any, tolerance: float) -> bool:
    """Real numbers are compared here, because math-verify rounds to six decimals: a Planck
    constant would be equal to 0."""
    from math_verify import verify

    first, second = _real(found), _real(true)
    if first is None or second is None:
        return bool(verify(true, found, timeout_seconds=None))
    if first.is_Rational and second.is_Rational:
        return bool(first == second)
    return bool(abs(first - second).evalf() <= tolerance * max(abs(first), abs(second)).evalf())


def _real(value: Any) -> Any:
    """The number if a SymPy object is a finite real one, exact where it can be."""
    if not getattr(value, "is_number", False):
        return None
    exact = value.doit()
    rounded = exact.evalf(20)
    if not (rounded.is_Number and rounded.is_finite):
        return None
    return exact if exact.is_Rational else rounded


if __name__ == "__main__":
    serve(same, ("x^2 - \\frac{1}{2}", "x^2 - 0.5"))
