"""An engine as judge: named, asked once, its words kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from evaluate.engines import Echo
from valley.evaluate.identity import Source
from valley.evaluate.items import Item
from valley.evaluate.judges import JUDGED, EngineJudge, digest_of_prompts
from valley.evaluate.profiles import STRICT
from valley.types import Reply, Request, Sampling

SOURCE = Source("echo", digest="0" * 64)


class Recorded(Echo):
    """Says what it is told to, and remembers how it was asked."""

    def __init__(self, words: str = "B") -> None:
        super().__init__()
        self.words = words
        self.sampled: list[Sampling] = []

    def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Iterator[Reply]:
        self.sampled.append(sampling)
        yield from super().run(requests, sampling)

    def reply(self, request: Request) -> Reply:
        return Reply(self.words, raw=f"<think>hm</think>{self.words}")


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    engine, kept = Recorded(), tmp_path / JUDGED
    with EngineJudge(engine, SOURCE, kept) as judge:
        assert [judge("one", 0.0), judge("one", 0.0), judge("two", 0.0)] == ["B"] * 3
        assert judge("one", 0.5) == "B"
    assert engine.asked == 3
    assert [s.temperature for s in engine.sampled] == [0.0, 0.0, 0.5]
    with EngineJudge(engine, SOURCE, kept) as judge:
        assert judge("two", 0.0) == "B"
    assert engine.asked == 3
    assert len(kept.read_text().splitlines()) == 3


def test_another_judge_or_another_setting_is_asked_anew(tmp_path: Path) -> None:
    engine, kept = Recorded(), tmp_path / JUDGED
    for source, sampling in (
        (SOURCE, Sampling()),
        (Source("echo", digest="1" * 64), Sampling()),
        (SOURCE, Sampling(max_new_tokens=7)),
        (SOURCE, Sampling(seed=3)),
    ):
        with EngineJudge(engine, source, kept, sampling) as judge:
            judge("one", 0.0)
    assert engine.asked == 4


def test_a_torn_line_is_asked_again(tmp_path: Path) -> None:
    engine, kept = Recorded(), tmp_path / JUDGED
    with EngineJudge(engine, SOURCE, kept) as judge:
        judge("one", 0.0)
    kept.write_bytes(kept.read_bytes()[:-20])
    with EngineJudge(engine, SOURCE, kept) as judge:
        judge("one", 0.0)
    assert engine.asked == 2
    assert json.loads(kept.read_text().splitlines()[-1])["text"] == "B"


def test_a_judge_says_who_it_is(tmp_path: Path) -> None:
    with EngineJudge(Recorded(), SOURCE, tmp_path / JUDGED) as judge:
        for fact in ("echo", "000000000000", digest_of_prompts()[:12], "2048", "seed 0"):
            assert fact in judge.id


def test_it_settles_what_rules_cannot_read(tmp_path: Path) -> None:
    item = Item("0", {"question": "Which?", "A": "cat", "B": "dog", "answer": "B"})
    with EngineJudge(Recorded(), SOURCE, tmp_path / JUDGED) as judge:
        assert STRICT.scorers["choice"].score(item, "the barking one", judge).score == 1.0


def test_an_outage_makes_no_reply_wrong(tmp_path: Path) -> None:
    class Down(Recorded):
        def reply(self, request: Request) -> Reply:
            raise RuntimeError("the server cannot be reached")

    item = Item("0", {"question": "Which?", "A": "cat", "B": "dog", "answer": "B"})
    with (
        EngineJudge(Down(), SOURCE, tmp_path / JUDGED) as judge,
        pytest.raises(RuntimeError, match="cannot be reached"),
    ):
        STRICT.scorers["choice"].score(item, "the barking one", judge)
