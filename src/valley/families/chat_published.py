"""What the published `chat` of SAIL-VL and InternVL does to a conversation, for parity.

It differs from the core: `<image>` in anybody's words stands for the next picture, wherever that
was handed over; control tokens in words are tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

PLACEHOLDER = "<image>"


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


def fill(text: str, pictures: Sequence[str]) -> str:
    """The prompt with each picture at the next `<image>`; surplus ones stay words."""
    *gaps, rest = text.split(PLACEHOLDER, len(pictures))
    if len(gaps) < len(pictures):
        raise ValueError(
            f"the conversation holds {len(gaps)} {PLACEHOLDER}, {len(pictures)} pictures were "
            f"given: write {PLACEHOLDER} for each"
        )
    return "".join(gap + picture for gap, picture in zip(gaps, pictures, strict=True)) + rest
