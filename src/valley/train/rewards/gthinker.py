"""What the rewards of the public GThinker code compute, for comparing numbers with it.

Its ways are kept: white space around a reply breaks the format while doubled blocks do not, edit
similarity reads the whole response, and exact match neither strips nor crosses a line.
Training uses the other files of this package.
"""

from __future__ import annotations

import re

from valley.train.rewards.text import MAX_EXACT_WORDS, TAU, edit_similarity, is_number

_FORM = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>")


def format_reward(response: str) -> float:
    return float(_FORM.fullmatch(response) is not None)


def exact_match(response: str, truth: str) -> float:
    found = _ANSWER.search(response)
    return float((found[1] if found else response) == truth)


def string_reward(response: str, truth: str) -> float:
    if is_number(truth) or len(truth.split(" ")) <= MAX_EXACT_WORDS:
        return exact_match(response, truth)
    return edit_similarity(response, truth, TAU)


def overall(accuracy: float, form: float, format_weight: float = 0.5) -> float:
    """In [0, 1], unlike the sum of the Valley2.5 report."""
    return (1 - format_weight) * accuracy + format_weight * form
