"""What the published Valley2.5 processor does to a conversation, faults included, for parity.

Rewrites a request before the core tokenises it. Its predecessor's processor is the source; the
differences from the core are: a default system prompt, a black picture where none is given,
control tokens honoured inside anybody's words, training labels that leak from a turn whose text
contains "assistant" at a line's end, messages changed in place, and pixel limits that stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from valley.prompt import IGNORE_INDEX
from valley.types import Budget

PLACEHOLDER = "<image>"
SENTINEL = -200
DEFAULT_SYSTEM = "You are a helpful assistant."
#: Side in pixels of the black picture that stands in for none.
BLACK_SIDE = 3
MAX_PIECE_CHARACTERS = 50_000
_TURN_END = "<|im_end|>\n"
_REPLY = re.compile(r"assistant\n[\s\S]*")

MAX_ASPECT_RATIO = 200

StringMessage = MutableMapping[str, Any]


@dataclass
class PixelLimits:
    """Limits of a published processor object: what one call sets, later calls keep."""

    min_pixels: int | None = None
    max_pixels: int | None = None

    def keep(self, min_pixels: int | None, max_pixels: int | None) -> Budget:
        self.min_pixels = min_pixels or self.min_pixels
        self.max_pixels = max_pixels or self.max_pixels
        return Budget(min_pixels=self.min_pixels, max_pixels=self.max_pixels)


def rewrite(
    messages: list[StringMessage], num_images: int, *, inference: bool = True, brackets: bool = True
) -> list[StringMessage]:
    """The messages the chat template sees; `messages` and its dicts are changed in place.

    `brackets`: whether `<im_start>` and `<im_end>` surround a placeholder.
    """
    if not messages:
        raise ValueError("conversations is empty: give at least one user message")
    if messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": None})
    if messages[0]["content"] is None:
        messages[0]["content"] = DEFAULT_SYSTEM
    check_turns(messages[1:], inference)
    first = messages[1]
    if PLACEHOLDER not in first["content"]:
        first["content"] = " ".join([PLACEHOLDER] * num_images) + "\n" + first["content"]
    if brackets:
        for message in messages[1:]:
            message["content"] = message["content"].replace(
                PLACEHOLDER, f"<im_start>{PLACEHOLDER}<im_end>"
            )
    return messages


def check_turns(messages: Sequence[StringMessage], inference: bool) -> None:
    """Refuse messages after the system's that do not alternate, or end with the wrong one."""
    roles = [message["role"] for message in messages]
    expected = ["user", "assistant"] * len(roles)
    if not roles or roles != expected[: len(roles)]:
        raise ValueError(f"after the system message user and assistant must alternate, got {roles}")
    if inference and roles[-1] != "user":
        raise ValueError("the last message must be the user's")


def check_ratio(size: tuple[int, int]) -> None:
    """The published code refuses a picture whose sides differ more than 200-fold."""
    if max(size) > MAX_ASPECT_RATIO * min(size):
        raise ValueError(f"a picture of {size[0]}x{size[1]} has an aspect ratio above 200: crop it")


def tokenise(
    text: str, encode: Callable[[str], list[int]], *, inference: bool = True
) -> tuple[list[int], list[int]]:
    """Ids with -200 for each picture, and labels, of rendered text.

    `encode` honours special tokens. A piece is one turn; its label mask is as long as the piece
    with everything from "assistant" on replaced by "assistant:".
    """
    pieces = [piece for piece in text.split(_TURN_END) if piece]
    input_ids: list[int] = []
    labels: list[int] = []
    for index, piece in enumerate(pieces):
        if not inference or index < len(pieces) - 1:
            piece += _TURN_END
        if len(piece) > MAX_PIECE_CHARACTERS:
            raise ValueError(f"a turn is longer than {MAX_PIECE_CHARACTERS} characters: shorten it")
        ids = _with_sentinels(piece, encode)
        masked = len(_with_sentinels(_REPLY.sub("assistant:", piece), encode))
        input_ids += ids
        labels += [IGNORE_INDEX] * min(masked, len(ids)) + ids[masked:]
    return input_ids, labels


def _with_sentinels(text: str, encode: Callable[[str], list[int]]) -> list[int]:
    ids: list[int] = []
    for index, chunk in enumerate(text.split(PLACEHOLDER)):
        ids += [SENTINEL] if index else []
        ids += encode(chunk) if chunk else []
    return ids
