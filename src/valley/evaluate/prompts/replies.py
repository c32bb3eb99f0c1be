"""What published code takes out of a reply before it is scored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

#: From the decoded text of a reply to what is scored.
Read: TypeAlias = Callable[[str], str]
_CONCLUSION = re.compile(r"<CONCLUSION>(.*?)</CONCLUSION>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FINAL = re.compile(r"(?:Final answer:|Answer:)\s*(.*)", re.IGNORECASE)
#: A box with at most one level of braces inside.
_BOX = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")


def whole(raw: str) -> str:
    return raw


def conclusion(raw: str) -> str:
    """The conclusion of a chain of thought, else the whole reply."""
    found = _CONCLUSION.search(raw)
    return found[1] if found else raw


def answer(raw: str) -> str:
    """The first answer in tags, else the whole reply."""
    found = _ANSWER.search(raw)
    return found[1] if found else raw


def box(raw: str) -> str:
    """The first box after the thinking, where there was some; else the last box; else all."""
    _, thought, rest = raw.partition("</think>")
    if "<think>" in raw and thought and (found := _BOX.search(rest)):
        return found[1]
    boxes = _BOX.findall(raw)
    return boxes[-1] if boxes else raw


def final(raw: str) -> str:
    """The rest of the first line that announces an answer, else the whole reply."""
    found = _FINAL.search(raw)
    return (found[1] if found else raw).strip()


def without_stop(raw: str) -> str:
    """Without its last full stop."""
    return raw.removesuffix(".")


def short(read: Read) -> Read:
    """As `read`, without blanks around it and without its last full stop."""
    return lambda raw: without_stop(read(raw).strip())


def ended_with(ending: str) -> Read:
    return lambda raw: raw + ending


def in_turn(first: Read, second: Read) -> Read:
    return lambda raw: second(first(raw))
