"""Rewards for text: exact match and edit similarity (Valley2.5 report, appendix A and table 3).

An answer is what `Answer.text` holds; answers and truths are stripped.
"""

from __future__ import annotations

import math
import re

#: Similarity that an answer must exceed.
TAU = 0.6
#: Words of the longest truth that has to be met exactly. The report gives none; GThinker's code
#: has 5.
MAX_EXACT_WORDS = 5

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_number(text: str) -> bool:
    """Whether a truth is a bare number, which has no parts that could be nearly right."""
    return _NUMBER.fullmatch(text.strip()) is not None


def exact_match(answer: str, truth: str) -> float:
    return float(answer.strip() == truth.strip())


def edit_similarity(answer: str, truth: str, tau: float = TAU) -> float:
    """1 - Levenshtein distance / length of the longer, by characters, if above `tau`; else 0."""
    from rapidfuzz.distance import Levenshtein

    answer, truth = answer.strip(), truth.strip()
    shorter, longer = sorted((len(answer), len(truth)))
    if answer == truth:
        return 1.0
    if shorter <= tau * longer:  # no answer of this length can pass, however long it is
        return 0.0
    limit = math.ceil((1 - tau) * longer)
    similarity = 1 - Levenshtein.distance(answer, truth, score_cutoff=limit) / longer
    return similarity if similarity > tau else 0.0


def string_reward(
    answer: str, truth: str, tau: float = TAU, max_words: int = MAX_EXACT_WORDS
) -> float:
    """R_string: exact match for a number or at most `max_words` words, else edit similarity."""
    if is_number(truth) or len(truth.split()) <= max_words:
        return exact_match(answer, truth)
    return edit_similarity(answer, truth, tau)
