"""What can be had without looking: grey pictures, and the commonest answer to a question."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from valley.evaluate.items import Item


def blank(item: Item) -> Item:
    """The same question about grey pictures of the same sizes."""
    grey = tuple(Image.new("RGB", picture.size, (128, 128, 128)) for picture in item.media)
    return replace(item, media=grey)


def wording(item: Item) -> str:
    """What is left of a question when its numbers and quoted words are taken out."""
    return re.sub(r"[$¥]?\d+(?:\.\d+)?|“[^”]*”", "#", item.question)


def majority(items: Sequence[Item], asked: Sequence[Item]) -> list[str]:
    """To each question of `asked` the answer that is commonest among `items` of the same wording,
    or else of the same task and way."""
    by_wording: dict[str, Counter[str]] = defaultdict(Counter)
    by_task: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for item in items:
        by_wording[wording(item)][item.answer] += 1
        by_task[_task(item)][item.answer] += 1
    replies = []
    for item in asked:
        counts = by_wording.get(wording(item)) or by_task.get(_task(item)) or Counter({"": 1})
        commonest = counts.most_common(1)[0][0]
        replies.append(as_ranking(item, commonest) if item.cells["way"] == "rank" else commonest)
    return replies


def as_ranking(item: Item, first: str) -> str:
    """The letters in order, one of them first."""
    return " ".join([first, *(letter for letter in item.options if letter != first)])


def _task(item: Item) -> tuple[str, str]:
    return item.cells["category"], item.cells["way"]
