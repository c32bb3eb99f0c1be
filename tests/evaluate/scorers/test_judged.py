"""MMVet and LogicVista in both profiles."""

from __future__ import annotations

import pytest

from evaluate.scorers.both import both, verdicts
from valley.evaluate.items import Item, Judge, Question, Scored, Verdict
from valley.evaluate.profiles import STRICT, VLMEVALKIT


def saying(*words: str) -> Judge:
    rest = list(words)
    return lambda question: rest.pop(0)


def test_nothing_is_guessed_without_a_judge() -> None:
    assert both("mmvet", "x", answer="x") == "??"


def test_a_mark_is_a_bare_number() -> None:
    item = Item("0", {"answer": "a<AND>b"})
    asked: list[Question] = []

    def judge(question: Question) -> str:
        asked.append(question)
        return ("good", "1.5", "0.7")[len(asked) - 1]

    assert STRICT.scorers["mmvet"].score(item, "x", judge) == Verdict(0.7)
    assert [question.temperature for question in asked] == [0.0, 0.5, 1.0]
    assert "a <AND> b" in asked[0].prompt
    assert not STRICT.scorers["mmvet"].score(item, "x", saying(*["?"] * 5)).resolved


def test_capabilities_are_counted_once() -> None:
    scored = [
        Scored(Item("1", {"category": "ocr"}), Verdict(1.0)),
        Scored(Item("2", {"category": "ocr,math"}), Verdict(0.0)),
    ]
    assert STRICT.scorers["mmvet"].figures(scored)["ocr"] == 50.0
    assert VLMEVALKIT.scorers["mmvet"].figures(scored)["ocr"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("reply", "signs"), [("A, C", "?1"), ("(A)(C)", "?1"), ("C and A", "?1"), ("A", "?0")]
)
def test_logicvista(reply: str, signs: str) -> None:
    assert both("logicvista", reply, answer="A, C") == signs


def test_a_judge_of_logicvista_says_capitals_alone() -> None:
    published, _ = verdicts("logicvista", "?", saying("ac", "CA", "AC"), answer="A, C")
    assert published == Verdict(1.0, "CA")
