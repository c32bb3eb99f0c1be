"""Lists that a benchmark keeps as text in its cells. Nothing is evaluated."""

from __future__ import annotations

import ast
from string import ascii_uppercase
from typing import Any


def literal(text: str) -> Any:
    """The Python literal that a text is, None where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _strings(text: str) -> list[str] | None:
    """A list of plain strings, which is nearly all there is, much faster than a literal."""
    if not (text.startswith("['") and text.endswith("']") and text.isprintable()):
        return None
    members = text[2:-2].split("', '")
    plain = '"' not in text and "\\" not in text and text.count("'") == 2 * len(members)
    return members if plain else None


def listed(text: str) -> list[Any]:
    """The members of a list written as a literal; else the text itself, alone."""
    if (strings := _strings(text)) is not None:
        return strings
    value = literal(text)
    return value if isinstance(value, list) else [text]


def lettered(text: str) -> dict[str, str]:
    """The choices of a list written as a literal, by letter. Empty where it is none."""
    value = literal(text)
    members = value if isinstance(value, (list, tuple)) else ()
    return dict(zip(ascii_uppercase, map(str, members), strict=False))
