"""Thinking and answer told apart while a reply streams.

What arrives here in pieces comes out as `prompt.parse_reply` says of the whole: the same tags, and
white space around either part left out.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Channel: TypeAlias = Literal["content", "reasoning_content"]

#: Where a tag leads: to the thinking, to the answer, or to nothing until the next tag.
_LEADS_TO: dict[str, Channel | None] = {
    "<think>": "reasoning_content",
    "</think>": "content",
    "<answer>": "content",
    "</answer>": None,
    **{f"<{stage}>": "reasoning_content" for stage in ("SUMMARY", "CAPTION", "REASONING")},
    **{f"</{stage}>": None for stage in ("SUMMARY", "CAPTION", "REASONING", "CONCLUSION")},
    "<CONCLUSION>": "content",
}
#: Tags that only a reply with thinking has; before such a beginning they are words.
_OPENERS = ("<think>", "<SUMMARY>", "<CAPTION>", "<REASONING>", "<CONCLUSION>", "<answer>")
_TAG = re.compile("|".join(map(re.escape, _LEADS_TO)))
#: Between the stages of a thinking.
_GAP = "\n\n"


class Channels:
    """Splits one reply. `add` and `end` give pieces with the part they belong to."""

    def __init__(self) -> None:
        self._waiting = ""
        self._channel: Channel | None = "content"
        self._tagged: bool | None = None
        self._fresh, self._space = True, ""
        self._begun: set[Channel] = set()

    def add(self, piece: str) -> list[tuple[Channel, str]]:
        self._waiting += piece
        return self._split(whole=False)

    def end(self) -> list[tuple[Channel, str]]:
        """What was still waiting."""
        return self._split(whole=True)

    def _split(self, whole: bool) -> list[tuple[Channel, str]]:
        if self._tagged is None and not self._begins(whole):
            return []
        found: list[tuple[Channel, str]] = []
        while self._tagged and (tag := _TAG.search(self._waiting)):
            self._say(self._waiting[: tag.start()], found)
            self._waiting = self._waiting[tag.end() :]
            self._turn(_LEADS_TO[tag[0]])
        keep = 0 if whole or not self._tagged else _unfinished(self._waiting)
        self._say(self._waiting[: len(self._waiting) - keep], found)
        self._waiting = self._waiting[len(self._waiting) - keep :]
        return found

    def _begins(self, whole: bool) -> bool:
        """Whether it shows by now if the reply begins with a tag."""
        start = self._waiting.lstrip()
        self._tagged = start.startswith(_OPENERS)
        if self._tagged or whole or not any(tag.startswith(start) for tag in _OPENERS):
            return True
        self._tagged = None
        return False

    def _turn(self, channel: Channel | None) -> None:
        again = channel == "reasoning_content" and channel in self._begun
        self._channel, self._fresh, self._space = channel, True, _GAP if again else ""

    def _say(self, text: str, found: list[tuple[Channel, str]]) -> None:
        """White space waits until words follow; before the first it is left out."""
        if self._channel is None:
            return
        text = text.lstrip() if self._fresh else text
        words = text.rstrip()
        if words:
            found.append((self._channel, self._space + words))
            self._begun.add(self._channel)
            self._fresh, self._space = False, text[len(words) :]
        else:
            self._space += text


def _unfinished(text: str) -> int:
    """Characters at the end that may be the start of a tag."""
    place = text.rfind("<")
    if place < 0 or not any(tag.startswith(text[place:]) for tag in _LEADS_TO):
        return 0
    return len(text) - place
