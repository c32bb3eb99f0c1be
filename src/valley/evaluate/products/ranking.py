"""Likelihood ranking: the options in the order of what a model would say itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from valley.types import Request


@runtime_checkable
class ScoringEngine(Protocol):
    """An engine that knows the likelihood of a reply. Over a URL there is none."""

    def score(self, request: Request, candidates: Sequence[str]) -> list[float]:
        """Mean log-probability of the tokens of each candidate as the reply."""
        ...


def rank(engine: ScoringEngine, request: Request, options: Mapping[str, str]) -> str:
    """The letters of the options, the likeliest first: what `scoring.Rank` reads."""
    likelihood = dict(zip(options, engine.score(request, list(options.values())), strict=True))
    return " ".join(sorted(options, key=lambda letter: -likelihood[letter]))


def likelihoods(engine: object) -> ScoringEngine:
    """The engine as one that can rank. Raises ValueError for one that cannot."""
    if not isinstance(engine, ScoringEngine):
        raise ValueError(
            "ranking needs log-probabilities, which a URL does not give: use --model, or leave "
            "Products_Rank out"
        )
    return engine
