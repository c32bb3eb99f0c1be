"""Replies of an engine to questions in memory, and what they are worth, without any table."""

from __future__ import annotations

from collections.abc import Sequence

from valley.engine.base import Engine
from valley.evaluate.items import Item, Scored
from valley.evaluate.products.asking import request
from valley.evaluate.products.ranking import ScoringEngine, rank
from valley.evaluate.products.scoring import SCORERS
from valley.types import Sampling

#: A record takes some 120 tokens.
SAMPLING = Sampling(max_new_tokens=256)


class LocalLike(Engine, ScoringEngine):
    """An engine that both replies and knows likelihoods."""


def replies(engine: LocalLike, asked: Sequence[Item], sampling: Sampling = SAMPLING) -> list[str]:
    """A reply to each item in order; to a ranking its options from likely to unlikely."""
    spoken = (request(item) for item in asked if item.cells["way"] != "rank")
    texts = (reply.text for reply in engine.run(spoken, sampling))
    return [rank(engine, i) if i.cells["way"] == "rank" else next(texts) for i in asked]


def score(asked: Sequence[Item], answers: Sequence[str]) -> list[Scored]:
    return [
        Scored(item, SCORERS[f"products_{item.cells['way']}"].score(item, reply))
        for item, reply in zip(asked, answers, strict=True)
    ]
