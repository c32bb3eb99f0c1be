"""What replies to the benchmark are worth, by way of asking, and the figures made of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from valley.evaluate.items import Item, Judge, Scored, Scorer, Verdict
from valley.evaluate.products import reading
from valley.evaluate.products.listing import read_listing
from valley.evaluate.products.words import Language
from valley.evaluate.scorers.reading import letter


class _Products:
    """What the four ways share: figures, and that every item stands alone."""

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        return figures(scored)

    def cluster(self, item: Item) -> str:
        return item.id


class Open(_Products):
    """Open generation: right if the reply names the answer and nothing else of its kind."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        return READERS[item.cells["form"]](item, reply)


class Choice(_Products):
    """Multiple choice: right if the reply chooses the right option and no other."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        chosen = letter(reply, item.options)
        return _only([chosen] if chosen else [], item.answer)


class Rank(_Products):
    """Likelihood ranking: the reply is the letters from likely to unlikely, as `ranking` writes
    it; worth the reciprocal of the right one's place."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        order = reply.split()
        if sorted(order) != sorted(item.options):
            return Verdict(0.0)
        return Verdict(1 / (order.index(item.answer) + 1), reply)


class Json(_Products):
    """A record: worth the share of right fields, nothing where it breaks the schema."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        language: Language = "zh" if item.cells["language"] == "zh" else "en"
        found = read_listing(reply, language)
        if found is None:
            return Verdict(0.0)
        wanted = json.loads(item.answer)
        right = sum(_field(found[name]) == _field(value) for name, value in wanted.items())
        return Verdict(right / len(wanted), json.dumps(found, ensure_ascii=False))


SCORERS: Mapping[str, Scorer] = {
    "products_open": Open(),
    "products_choice": Choice(),
    "products_rank": Rank(),
    "products_json": Json(),
}


def figures(scored: Sequence[Scored]) -> dict[str, float]:
    """Shares in %, of any mixture of ways: "Overall" is the mean over tasks; then each task, way,
    language and level, and, where records were asked for, how many were valid."""
    found: dict[str, float] = {}
    by_task = _means(scored, "category")
    found["Overall"] = sum(by_task.values()) / len(by_task) if by_task else 0.0
    found |= by_task | _means(scored, "way", "by ") | _means(scored, "language", "in ")
    found |= _means(scored, "level", "level ")
    records = [one for one in scored if one.item.cells["way"] == "json"]
    if records:
        valid = sum(one.verdict.extracted is not None for one in records)
        found["valid records"] = 100 * valid / len(records)
    return found


def _means(scored: Sequence[Scored], column: str, prefix: str = "") -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        groups[one.item.cells[column]].append(one.verdict.score)
    return {prefix + name: 100 * sum(group) / len(group) for name, group in sorted(groups.items())}


def _only(found: Sequence[object], answer: object) -> Verdict:
    """Right if `answer` is all that was found."""
    return Verdict(float(list(found) == [answer]), " | ".join(map(str, found)) or None)


def _yes_no(item: Item, reply: str) -> Verdict:
    return _only(reading.yes_or_no(reply), reading.yes_or_no(item.answer)[0])


def _price(item: Item, reply: str) -> Verdict:
    return _only(reading.prices(reply), Decimal(item.answer))


def _number(item: Item, reply: str) -> Verdict:
    return _only(reading.numbers(reply), int(item.answer))


def _word(item: Item, reply: str) -> Verdict:
    accepted, rivals = (json.loads(item.cells[name]) for name in ("accept", "rivals"))
    found = reading.words(reply, [*accepted, *rivals])
    right = bool(found) and {*found} <= {spelling.lower() for spelling in accepted}
    return Verdict(float(right), " | ".join(found) or None)


def _code(item: Item, reply: str) -> Verdict:
    """The number or name itself, or a sentence of at most three times its length around it."""
    wanted, found = reading.codes(item.answer), reading.codes(reply)
    right = wanted in found and len(found) <= 3 * len(wanted) + 20
    return Verdict(float(right), reply.strip()[:80] or None)


READERS: Mapping[str, Callable[[Item, str], Verdict]] = {
    "yes_no": _yes_no,
    "price": _price,
    "number": _number,
    "word": _word,
    "code": _code,
}


def _field(value: object) -> object:
    """A field as it is compared: words without case and outer spaces."""
    return value.strip().lower() if isinstance(value, str) else value
