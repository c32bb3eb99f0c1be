"""Multiple-choice questions as fill-in questions, where that keeps their sense.

A letter can be guessed: one reply in four is rewarded for nothing (Valley2.5 report, RL data).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: `A. text`, `(B) text`, `C) text`, `D: text` at the start of a line, or in a row behind spaces.
_OPTION = re.compile(r"(?:^|(?<=\s))(?:\(([A-J])\)|([A-J])[.):、：])[ \t]*(?=\S)", re.MULTILINE)
_ANSWER = re.compile(r"\(?([A-J])\)?[.):]?(?:\s+(.*))?", re.DOTALL)
#: Lines about how to answer, which speak of letters.
_INSTRUCTION = re.compile(
    r"^\s*(?:(?:options|choices)\s*[:：]?|.*\b(?:letter|option|choice)s?\b.*)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
#: Questions that mean nothing without their options.
_NEEDS_OPTIONS = re.compile(
    r"\b(?:following|these|options?|choices?|alternatives?|statements?|which answer|except|not"
    r"|true|false|best|closest|(?:most|least) (?:likely|probable|accurate|appropriate|similar)"
    r"|probably|mainly|choose|select|pick|blank)\b|n't\b|n’t\b|_{2,}",
    re.IGNORECASE,
)
#: Options that speak of pictures or of one another.
_NO_TEXT = re.compile(
    r"<image>|<video>|!\[|\.(?:png|jpe?g|gif)\b|\b(?:image|picture|figure|photo|panel|graph|diagram)\b"
    r"|\b(?:all|none|both|neither|either|any|some|two|three) of (?:the|these|them)\b"
    r"|\bnone\b|\b(?:both|neither|either)\b|\b[A-J] (?:and|or|&) [A-J]\b|\b(?:above|below)\b"
    r"|\bcannot be (?:determined|inferred)\b|\bnot (?:given|sure|enough)\b|\bother\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FillIn:
    question: str
    truth: str


def fill_in(question: str, answer: str) -> FillIn | None:
    """The question without its options, and the text of the right one.

    `answer`: its letter, with or without its text. None where there are no options `A`, `B`, … in
    order, where the answer is none of them, or where options or question mean nothing alone.
    """
    stem, options = _split(question)
    chosen = _ANSWER.fullmatch(answer.strip())
    if not chosen or chosen[1] not in options or not stem:
        return None
    truth = options[chosen[1]]
    if chosen[2] is not None and _bare(chosen[2]) != truth:
        return None
    texts = [text.casefold() for text in options.values()]
    if len(set(texts)) < len(texts) or any(not text or _NO_TEXT.search(text) for text in texts):
        return None
    return None if _NEEDS_OPTIONS.search(stem) else FillIn(stem, truth)


def _split(question: str) -> tuple[str, dict[str, str]]:
    """What stands before the options, and the options by letter; none unless A, B, … in order.

    Lines after the last option are instructions or belong to the question.
    """
    marks = list(_OPTION.finditer(question))
    letters = [mark[1] or mark[2] for mark in marks]
    if len(marks) < 2 or letters != list("ABCDEFGHIJ"[: len(marks)]):
        return question, {}
    ends = [mark.start() for mark in marks[1:]] + [len(question)]
    texts = [question[mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
    texts[-1], _, after = texts[-1].partition("\n")
    stem = _INSTRUCTION.sub("", question[: marks[0].start()] + "\n" + after)
    stem = "\n".join(line.strip() for line in stem.splitlines() if line.strip())
    return stem, {letter: _bare(text) for letter, text in zip(letters, texts, strict=True)}


def _bare(text: str) -> str:
    return text.strip().removesuffix(".")
