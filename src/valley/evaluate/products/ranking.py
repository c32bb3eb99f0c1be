"""Likelihood ranking: the options in the order of what a model would say itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from valley.evaluate.items import Item
from valley.evaluate.products.asking import request
from valley.types import Request


class ScoringEngine(Protocol):
    """An engine that knows the likelihood of a reply. Over a URL there is none."""

    def score(self, request: Request, candidates: Sequence[str]) -> list[float]:
        """Mean log-probability of the tokens of each candidate as the reply."""
        ...


def rank(engine: ScoringEngine, item: Item) -> str:
    """The letters of the options, the likeliest first: what `scoring.Rank` reads."""
    options = item.options
    likelihood = dict(
        zip(options, engine.score(request(item), list(options.values())), strict=True)
    )
    return " ".join(sorted(options, key=lambda letter: -likelihood[letter]))


def check(engine: object) -> None:
    """Raises ValueError for an engine that cannot rank."""
    if not hasattr(engine, "score"):
        raise ValueError(
            "ranking needs log-probabilities, which this engine does not give: run Products_Rank "
            "with --model, or leave it out"
        )
