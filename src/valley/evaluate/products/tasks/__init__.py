"""What is asked, by task and by way of asking."""

from __future__ import annotations

from collections.abc import Callable

from valley.evaluate.products.questions import Lot, Question, Way
from valley.evaluate.products.tasks import (
    attributes,
    listings,
    live,
    lookalikes,
    moderation,
    prices,
    strips,
    titles,
)

#: Each cell is asked equally often in each language.
CELLS: tuple[tuple[str, Way, Callable[[Lot], Question]], ...] = (
    ("attributes", "open", attributes.asked),
    ("attributes", "choice", attributes.chosen),
    ("attributes", "rank", attributes.ranked),
    ("titles", "open", titles.asked),
    ("titles", "choice", titles.chosen),
    ("titles", "rank", titles.ranked),
    ("listings", "json", listings.written),
    ("listings", "json", listings.written),
    ("lookalikes", "open", lookalikes.asked),
    ("lookalikes", "choice", lookalikes.chosen),
    ("prices", "open", prices.asked),
    ("prices", "choice", prices.chosen),
    ("live", "open", live.asked),
    ("live", "choice", live.chosen),
    ("matches", "choice", live.matched),
    ("matches", "rank", live.ranked),
    ("moderation", "open", moderation.asked),
    ("moderation", "choice", moderation.chosen),
    ("strips", "open", strips.asked),
    ("strips", "choice", strips.chosen),
)
TASKS = tuple(dict.fromkeys(task for task, _, _ in CELLS))
