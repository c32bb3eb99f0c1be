"""The answer in a reply, taken out once, and whether the reply has the form asked for.

Every step is linear in the length of the reply: a policy may write megabytes of anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_FORM = re.compile(r"\s*<think>.*</think>\s*<answer>.*</answer>\s*", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """`text`: what the one `<answer>` block says, stripped; None where a reply has none or
    several. `well_formed`: one `<think>` block, then that one, and nothing else.
    """

    text: str | None
    well_formed: bool

    @classmethod
    def of(cls, reply: str) -> Answer:
        """The block is looked for after the thinking, which may talk about tags."""
        said = reply.rpartition("</think>")[2]
        before, opened, rest = said.partition("<answer>")
        text, closed, after = rest.partition("</answer>")
        single = opened and closed and not any(tag in before + text + after for tag in TAGS)
        return cls(text.strip() if single else None, _is_well_formed(reply))


def _is_well_formed(reply: str) -> bool:
    return all(reply.count(tag) == 1 for tag in TAGS) and _FORM.fullmatch(reply) is not None


def format_reward(reply: str) -> float:
    """1 if the reply is exactly one `<think>…</think>`, then one `<answer>…</answer>`, white
    space around them aside; else 0 (Valley2.5 report, R_format)."""
    return float(_is_well_formed(reply))
