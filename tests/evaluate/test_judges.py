"""An engine as judge: named, asked once, its words kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evaluate.engines import Echo
from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.identity import Source
from valley.evaluate.items import Answer, Item, Question, Unasked
from valley.evaluate.judges import JUDGED, EngineJudge, digest_of_prompts
from valley.evaluate.profiles import STRICT, VLMEVALKIT
from valley.evaluate.scorers import asking
from valley.evaluate.scores import score
from valley.types import Reply, Request, Sampling

SOURCE = Source("echo", digest="0" * 64)


class Recorded(Echo):
    """Says what it is told to, and remembers how it was asked."""

    def __init__(self, words: str = "B") -> None:
        super().__init__()
        self.words = words
        self.sampled: list[Sampling] = []
        self.requests: list[Request] = []

    def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Iterator[Reply]:
        self.sampled.append(sampling)
        yield from super().run(requests, sampling)

    def reply(self, request: Request) -> Reply:
        self.requests.append(request)
        return Reply(self.words, raw=f"<think>hm</think>{self.words}")


def told(judge: EngineJudge, *questions: Question) -> list[str]:
    judge.ask(questions)
    return [judge(question) for question in questions]


ONE, TWO = Question("one"), Question("two")


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    engine, kept = Recorded(), tmp_path / JUDGED
    with EngineJudge(engine, SOURCE, kept) as judge:
        assert told(judge, ONE, ONE, TWO) == ["B"] * 3
        assert told(judge, TWO, replace(ONE, temperature=0.5)) == ["B"] * 2
    assert engine.asked == 3
    assert [s.temperature for s in engine.sampled] == [0.0, 0.5]
    with EngineJudge(engine, SOURCE, kept) as judge:
        assert judge(TWO) == "B"
        with pytest.raises(Unasked):
            judge(Question("three"))
    assert engine.asked == 3
    assert len(kept.read_text().splitlines()) == 3


def test_another_judge_or_another_setting_is_asked_anew(tmp_path: Path) -> None:
    engine, kept = Recorded(), tmp_path / JUDGED
    for source, sampling, question in (
        (SOURCE, Sampling(), ONE),
        (Source("echo", digest="1" * 64), Sampling(), ONE),
        (SOURCE, Sampling(max_new_tokens=7), ONE),
        (SOURCE, Sampling(seed=3), ONE),
        (SOURCE, Sampling(), replace(ONE, system="Be kind.")),
    ):
        with EngineJudge(engine, source, kept, sampling) as judge:
            told(judge, question)
    assert engine.asked == 5


def test_a_system_prompt_is_a_message_of_its_own(tmp_path: Path) -> None:
    engine = Recorded()
    with EngineJudge(engine, SOURCE, tmp_path / JUDGED) as judge:
        told(judge, ONE, replace(ONE, system="Be kind."))
    roles = [[message.role for message in request.messages] for request in engine.requests]
    assert roles == [["user"], ["system", "user"]]


def test_questions_are_asked_together(tmp_path: Path) -> None:
    """Two tries of each item are two rounds, whatever the number of items."""
    engine = Recorded("2")
    items = [Item(str(n), {"question": "q", "answer": f"a{n}"}) for n in range(5)]
    answers = [Answer(item.id, "", text=f"reply {item.id}") for item in items]
    with EngineJudge(engine, SOURCE, tmp_path / JUDGED) as judge:
        scores, _ = score(benchmark_of("MMVet"), items, answers, STRICT, judge)
    assert scores.unresolved == 5
    assert [s.temperature for s in engine.sampled] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert engine.asked == 25


def test_a_torn_line_is_asked_again(tmp_path: Path) -> None:
    engine, kept = Recorded(), tmp_path / JUDGED
    with EngineJudge(engine, SOURCE, kept) as judge:
        told(judge, ONE)
    kept.write_bytes(kept.read_bytes()[:-20])
    with EngineJudge(engine, SOURCE, kept) as judge:
        told(judge, ONE)
    assert engine.asked == 2
    assert json.loads(kept.read_text().splitlines()[-1])["text"] == "B"


def test_a_judge_says_who_it_is(tmp_path: Path) -> None:
    with EngineJudge(Recorded(), SOURCE, tmp_path / JUDGED) as judge:
        for fact in ("echo", "000000000000", digest_of_prompts()[:12], "2048", "seed 0"):
            assert fact in judge.id


ITEM = Item("0", {"question": "Which?", "A": "cat", "B": "dog", "answer": "B"})
REPLY = Answer("0", "", text="the barking one")


def test_it_settles_what_rules_cannot_read(tmp_path: Path) -> None:
    with EngineJudge(Recorded(), SOURCE, tmp_path / JUDGED) as judge:
        scores, _ = score(benchmark_of("MMStar"), [ITEM], [REPLY], STRICT, judge)
    assert (scores.unresolved, scores.figures[0].value) == (0, 100.0)


def test_an_outage_makes_no_reply_wrong(tmp_path: Path) -> None:
    class Down(Recorded):
        def reply(self, request: Request) -> Reply:
            raise RuntimeError("the server cannot be reached")

    with (
        EngineJudge(Down(), SOURCE, tmp_path / JUDGED) as judge,
        pytest.raises(RuntimeError, match="cannot be reached"),
    ):
        score(benchmark_of("MMStar"), [ITEM], [REPLY], STRICT, judge)


@pytest.mark.parametrize(
    ("kind", "cells", "system"),
    [
        ("tempcompass_mcq", {}, "You are an AI assistant for question answering."),
        ("tempcompass_captioning", {}, "You are an AI assistant for question answering."),
        (
            "dynamath",
            {"answer_type": "float"},
            "You are a helpful assistant that helps me to format free-form answers into a short "
            "answer according to the instruction.\n",
        ),
    ],
)
def test_published_system_prompts(kind: str, cells: dict[str, str], system: str) -> None:
    asked: list[Question] = []

    def judge(question: Question) -> str:
        asked.append(question)
        return "7"

    VLMEVALKIT.scorers[kind].score(Item("0", {"answer": "7", **cells}), "hm", judge)
    (question,) = asked
    assert question.system == system
    assert question.temperature == (1.0 if kind.startswith("tempcompass") else 0.0)


#: SHA-256 of what VLMEvalKit's own functions make of the question "Q?", the answer "A. x" and the
#: reply "P".
WORDINGS = {
    "tempcompass_choice": "a56f0601f08ddab346164a3b4158fc67ec0e49d511c91b27834b28d2a7ec1af8",
    "tempcompass_caption_matching": (
        "35629467e401718de6676d0f27c2d6bc687cba723449d159907b0df83955dc68"
    ),
    "tempcompass_captioning": "8da8ad8f0db177971f29f5b2703afd5b4d10503143f4726a520e939ee2d7d9a7",
    "tempcompass_yes_no": "041ae577300de36d126f5526347c2127a1091714a8c19b4a5b7da2bee141aeb1",
    "dynamath_choice": "00521856f608087e4db808b1a9915f53c34e446df44c46d6315384127270fb72",
    "dynamath_float": "951041fd852b5e8b2cbc1af2f2b52097c2a4d0f7f1f9905e888cef0650322931",
    "dynamath_words": "6a258b6d0d87d798e53ffbdb4fc5c3bc06bfc03698880c631aae0e16f8cd4db3",
}


@pytest.mark.parametrize("name", WORDINGS)
def test_the_wording_is_published(name: str) -> None:
    text = asking.prompt(name, question="Q?", answer="A. x", reply="P")
    assert hashlib.sha256(text.encode()).hexdigest() == WORDINGS[name]
