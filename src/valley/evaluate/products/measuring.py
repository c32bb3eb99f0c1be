"""Replies of an engine to questions in memory, and what they are worth, without any table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

from valley.engine.base import Engine
from valley.evaluate.items import Item, Scored
from valley.evaluate.products.asking import request
from valley.evaluate.products.ranking import ScoringEngine, rank
from valley.evaluate.products.scoring import SCORERS
from valley.types import Sampling

#: A record takes some 120 tokens.
SAMPLING = Sampling(max_new_tokens=256)
#: Items whose pictures are in memory at a time.
WINDOW = 40


class FullEngine(Engine, ScoringEngine, Protocol):
    """An engine that replies and knows the likelihood of replies."""


def measure(
    engine: FullEngine, asked: Iterable[Item], sampling: Sampling = SAMPLING
) -> list[Scored]:
    """Every item with the verdict on the reply to it, without its pictures."""
    scored: list[Scored] = []
    iterator = iter(asked)
    while window := list(islice(iterator, WINDOW)):
        scored += score(window, replies(engine, window, sampling))
    return scored


def replies(engine: FullEngine, asked: Sequence[Item], sampling: Sampling) -> Iterator[str]:
    """A reply to each item in order; to a ranking its options from likely to unlikely."""
    spoken = (request(item) for item in asked if item.cells["way"] != "rank")
    texts = (reply.text for reply in engine.run(spoken, sampling))
    for item in asked:
        if item.cells["way"] == "rank":
            yield rank(engine, request(item), item.options)
        else:
            yield next(texts)


def score(asked: Iterable[Item], answers: Iterable[str]) -> list[Scored]:
    """Every item with the verdict on its answer, without its pictures."""
    return [
        Scored(replace(item, media=()), SCORERS[f"products_{item.cells['way']}"].score(item, reply))
        for item, reply in zip(asked, answers, strict=True)
    ]
