"""Rewards that can be verified, for GRPO (Valley2.5 report, section on rewards and table 3).

`score(domain, reply, truth)` is the way in; torch is not needed.
"""

from valley.mathematics import Checker, Limits
from valley.train.rewards.action import Action
from valley.train.rewards.answer import Answer, format_reward
from valley.train.rewards.registry import DOMAINS, Scored, Settings, score, score_all, truth_of
from valley.train.rewards.truth import KINDS, Truth

__all__ = [
    "DOMAINS",
    "KINDS",
    "Action",
    "Answer",
    "Checker",
    "Limits",
    "Scored",
    "Settings",
    "Truth",
    "format_reward",
    "score",
    "score_all",
    "truth_of",
]
