"""What the published `chat` of SAIL-VL and InternVL does to a conversation, for parity.

It differs from the core: `<image>` in anybody's words stands for the next picture, wherever that
was handed over; control tokens in words are tokens; a turn without words is never closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

PLACEHOLDER = "<image>"
#: Stands for the words of a turn that has none; a noncharacter, which no text holds.
_NOTHING = "\ufdd1"
_CLOSED_NOTHING = re.compile(_NOTHING + r"(?:<\|im_end\|>\n?)?")


def turns(
    question: str, history: Sequence[tuple[str, str]] | None, pictures: bool, system: str | None
) -> list[dict[str, str]]:
    """The messages that the chat template sees, `<image>` for each picture.

    A first question about pictures that names none begins with one.
    """
    if history is None and pictures and PLACEHOLDER not in question:
        question = f"{PLACEHOLDER}\n{question}"
    messages = [] if system is None else [{"role": "system", "content": system}]
    for asked, answered in history or ():
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answered})
    return [*messages, {"role": "user", "content": question}]


def write(
    messages: Sequence[Mapping[str, str]],
    render: Callable[[Sequence[Mapping[str, str]]], str],
    pictures: Sequence[str],
) -> str:
    """The prompt, with each picture at the next `<image>`; surplus ones stay words.

    `render`: the chat template. Raises ValueError where there are more pictures than places.
    """
    marked = [
        message if message["content"] or message["role"] == "system"
        else {**message, "content": _NOTHING}
        for message in messages
    ]  # fmt: skip
    return _fill(_CLOSED_NOTHING.sub("", render(marked)), pictures)


def _fill(text: str, pictures: Sequence[str]) -> str:
    *gaps, rest = text.split(PLACEHOLDER, len(pictures))
    if len(gaps) < len(pictures):
        raise ValueError(
            f"the conversation holds {len(gaps)} {PLACEHOLDER}, {len(pictures)} pictures were "
            f"given: write {PLACEHOLDER} for each"
        )
    return "".join(gap + picture for gap, picture in zip(gaps, pictures, strict=True)) + rest
