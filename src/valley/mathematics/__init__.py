"""Whether two texts are the same mathematics, in bounded time on any text."""

from valley.mathematics.checking import Checker, Comparison, Limits, each, shared
from valley.mathematics.comparing import TOLERANCE, number, same_numbers

__all__ = [
    "TOLERANCE",
    "Checker",
    "Comparison",
    "Limits",
    "each",
    "number",
    "same_numbers",
    "shared",
]
