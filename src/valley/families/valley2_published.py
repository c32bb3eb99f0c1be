"""What the published `Valley2Chat` does to a conversation, for parity.

It differs from the published processor: a system message is ignored, so that the chat template's
own default takes its place; placeholders stand side by side without a blank; at most eight
pictures are looked at. Where it crashes (`<video>` in the text), the words are kept as text.
"""

from __future__ import annotations

from collections.abc import Sequence

from valley.families.valley2_5_published import PLACEHOLDER, StringMessage, check_turns

MAX_PICTURES = 8
#: The limit of its tower at native resolution, in pixels.
MAX_PIXELS = 1280 * 28 * 28


def rewrite_chat(history: Sequence[StringMessage], num_images: int) -> list[StringMessage]:
    """The messages the chat template sees, as a copy.

    Placeholders are put before the first question unless the messages hold some; those beyond
    `num_images` are dropped.
    """
    messages = [dict(message) for message in history if message["role"] != "system"]
    check_turns(messages, inference=True)
    if not any(PLACEHOLDER in message["content"] for message in messages):
        messages[0]["content"] = PLACEHOLDER * num_images + "\n" + messages[0]["content"]
    left = num_images
    for message in messages:
        first, *rest = message["content"].split(PLACEHOLDER)
        shown = [f"<im_start>{PLACEHOLDER}<im_end>" if i < left else "" for i in range(len(rest))]
        left -= min(left, len(rest))
        message["content"] = first + "".join(a + b for a, b in zip(shown, rest, strict=True))
    return list(messages)
