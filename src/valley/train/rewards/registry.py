"""Which reward a domain gives for which kind of truth: table 3 of the Valley2.5 report, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from valley.mathematics import TOLERANCE, Checker, each, shared
from valley.train.rewards.action import action_reward
from valley.train.rewards.answer import Answer
from valley.train.rewards.overlap import TAU as TAU_IOU
from valley.train.rewards.overlap import fraction_of_boxes, graded_boxes, read_boxes, span_reward
from valley.train.rewards.text import MAX_EXACT_WORDS, exact_match, is_number, string_reward
from valley.train.rewards.text import TAU as TAU_TEXT
from valley.train.rewards.truth import Kind, Truth


@dataclass(frozen=True)
class Settings:
    """`accuracy_weight`: lambda of the report, which does not give its value. `grounding`: the
    share of boxes found (table 3) or their mean overlap (equation 3): the two disagree.
    `checker`: None is one child process shared by all.
    """

    accuracy_weight: float = 1.0
    tolerance: float = TOLERANCE
    tau_text: float = TAU_TEXT
    tau_iou: float = TAU_IOU
    max_exact_words: int = MAX_EXACT_WORDS
    grounding: Literal["fraction", "graded"] = "fraction"
    checker: Checker | None = None

    def __post_init__(self) -> None:
        if self.grounding not in ("fraction", "graded"):
            raise ValueError(f"grounding is 'fraction' or 'graded', not {self.grounding!r}")
        for name in ("tau_text", "tau_iou"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("accuracy_weight", "tolerance", "max_exact_words"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


#: The reward in [0, 1] of an answer, given the value of a truth.
Reward: TypeAlias = Callable[[str, Any, Settings], float]


def _exact(answer: str, truth: str, _: Settings) -> float:
    return exact_match(answer, truth)


def _string(answer: str, truth: str, settings: Settings) -> float:
    return string_reward(answer, truth, settings.tau_text, settings.max_exact_words)


def _mathematics(answer: str, truth: str, settings: Settings) -> float:
    checker = settings.checker or shared()
    return float(checker.same(answer, truth, settings.tolerance))


def _boxes_found(answer: str, truth: Any, settings: Settings) -> float:
    reward = fraction_of_boxes if settings.grounding == "fraction" else graded_boxes
    return reward(read_boxes(answer), truth, settings.tau_iou)


def _boxes_graded(answer: str, truth: Any, settings: Settings) -> float:
    return graded_boxes(read_boxes(answer), truth, settings.tau_iou)


def _action(answer: str, truth: Any, settings: Settings) -> float:
    return action_reward(answer, truth, settings.tau_iou)


def _span(answer: str, truth: Any, settings: Settings) -> float:
    return span_reward(answer, truth, settings.tau_iou)


_NUMERIC: Mapping[Kind, Reward] = {"number": _mathematics}
_NUMERIC_OR_STRING: Mapping[Kind, Reward] = {"number": _mathematics, "string": _string}
_READING: Mapping[Kind, Reward] = {"number": _exact, "equation": _mathematics, "string": _string}

DOMAINS: Mapping[str, Mapping[Kind, Reward]] = {
    "math": _NUMERIC,
    "physics": _NUMERIC_OR_STRING,
    "chemistry": _NUMERIC_OR_STRING,
    "ocr": _READING,
    "chart": _READING,
    "grounding": {"boxes": _boxes_found, "string": _string},
    "counting": _NUMERIC,
    "geo_guess": _NUMERIC_OR_STRING,
    "gui": {"boxes": _boxes_graded, "string": _string, "action": _action},
    "video": {"span": _span},
}


@dataclass(frozen=True)
class Scored:
    """`format` and `accuracy` in [0, 1]; `total` = format + lambda * accuracy."""

    format: float
    accuracy: float
    total: float


def rewards_of(domain: str) -> Mapping[Kind, Reward]:
    """The rewards of a domain by kind of truth. `Geo Guess` and `geo_guess` are one name."""
    name = domain.strip().casefold().replace(" ", "_")
    if name not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r}: use one of {', '.join(DOMAINS)}")
    return DOMAINS[name]


def truth_of(domain: str, truth: Truth | str | float) -> Truth:
    """A truth that the domain can reward. Bare text is a number where it is one or where the
    domain knows no strings, else a string. Raises ValueError for a kind it has no reward for."""
    rewards = rewards_of(domain)
    if not isinstance(truth, Truth):
        is_string = "string" in rewards and not is_number(str(truth))
        truth = Truth("string" if is_string or "number" not in rewards else "number", truth)
    if truth.kind not in rewards:
        raise ValueError(
            f"domain {domain!r} has no reward for a truth of kind {truth.kind!r}: "
            f"it takes {', '.join(rewards)}"
        )
    return truth


def score(
    domain: str, reply: str, truth: Truth | str | float, settings: Settings = Settings()
) -> Scored:
    """Format and accuracy of one reply. Without exactly one answer the accuracy is 0."""
    truth = truth_of(domain, truth)
    answer = Answer.of(reply)
    accuracy = 0.0
    if answer.text:
        accuracy = rewards_of(domain)[truth.kind](answer.text, truth.value, settings)
    form = float(answer.well_formed)
    return Scored(form, accuracy, form + settings.accuracy_weight * accuracy)


def score_all(
    items: Iterable[tuple[str, str, Truth | str | float]], settings: Settings = Settings()
) -> list[Scored]:
    """Scores of many (domain, reply, truth), in order, on all workers of the checker."""
    threads = settings.checker.workers if settings.checker else 1
    return each(lambda item: score(*item, settings), items, threads)
