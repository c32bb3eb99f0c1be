"""Questions in memory through an engine, and back as verdicts in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest
from PIL import Image

from valley.evaluate.items import Item
from valley.evaluate.products import measuring
from valley.evaluate.products.asking import prompt
from valley.types import Reply, Request, Sampling


class Knowing:
    """Answers by the prompts that it was told; of candidates it likes the right one."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.answers = {prompt(item): item.answer for item in items}
        self.right = {item.options[item.answer] for item in items if item.options}
        self.most = 0

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Reply]:
        batch = list(requests)
        self.most = max(self.most, len(batch))
        yield from (Reply(self.answers[request.messages[0].text]) for request in batch)

    def score(self, request: Request, candidates: Sequence[str]) -> list[float]:
        return [float(text in self.right) for text in candidates]

    def stream(self, request: Request, sampling: Sampling) -> None:
        raise NotImplementedError


def question(number: int) -> Item:
    way = ("open", "rank", "choice")[number % 3]
    cells = {"way": way, "question": f"{number}?", "form": "number", "language": "en"}
    options = {} if way == "open" else {letter: f"{letter}{number}" for letter in "ABCD"}
    answer = str(number) if way == "open" else "ABCD"[number % 4]
    cells |= {**options, "answer": answer, "media": "image", "category": "live", "level": "0"}
    return Item(str(number), cells, (Image.new("RGB", (8, 8)),))


def test_all_is_right_in_order_and_pictures_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WINDOW", 10)
    asked = [question(number) for number in range(25)]
    engine = Knowing(asked)
    scored = measuring.measure(engine, iter(asked))
    assert [one.item.id for one in scored] == [item.id for item in asked]
    assert {one.verdict.score for one in scored} == {1.0}
    assert not any(one.item.media for one in scored)
    assert engine.most <= 10
    worse = measuring.score(asked, ["nothing"] * 25)
    assert {one.verdict.score for one in worse} == {0.0}
