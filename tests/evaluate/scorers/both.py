"""A reply in both profiles."""

from __future__ import annotations

from valley.evaluate.items import Item, Judge, Verdict
from valley.evaluate.profiles import STRICT, VLMEVALKIT

#: Four options, the second of them right.
PETS = {"question": "Which?", "A": "cat", "B": "dog", "C": "rabbit", "D": "No", "answer": "B"}


def verdicts(
    kind: str, reply: str, judge: Judge | None = None, **cells: str
) -> tuple[Verdict, Verdict]:
    """The verdicts of VLMEvalKit's profile and of the strict one."""
    item = Item(cells.pop("index", "0"), {"question": "q", **cells})
    published, strict = (p.scorers[kind].score(item, reply, judge) for p in (VLMEVALKIT, STRICT))
    return published, strict


def both(kind: str, reply: str, **cells: str) -> str:
    """Two signs, VLMEvalKit's first: `1` right, `0` wrong, `?` unresolved, `/` in between."""
    return "".join(map(sign, verdicts(kind, reply, **cells)))


def sign(verdict: Verdict) -> str:
    if not verdict.resolved:
        return "?"
    return {0.0: "0", 1.0: "1"}.get(verdict.score, "/")
