"""MathVista, MathVision, MathVerse and DynaMath in both profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluate.scorers.both import both, verdicts
from valley.evaluate.items import Item, Profile, Scored, Verdict
from valley.evaluate.profiles import PROFILES, STRICT
from valley.evaluate.scorers import latex


@pytest.mark.parametrize(
    ("reply", "answer", "kind", "signs"),
    [
        ("14", "14", "integer", "11"),
        ("１４", "14", "integer", "11"),
        ("0", "0", "integer", "?1"),  # what is found is falsy
        *((reply, "14", "integer", "?1") for reply in ("14.0", "14.", "The answer is 14.", "$14")),
        ("15", "14", "integer", "?0"),
        ("1.20", "1.2", "float", "11"),
        ("1.24", "1.2", "float", "?1"),
        ("blue", "blue", "text", "?1"),  # text and lists are never read
        ("None", "blue", "text", "?0"),
        ("[1, 2]", "[1, 2]", "list", "?1"),
        ("[1, 3]", "[1, 2]", "list", "?0"),
        ("it may be 3 or 4", "3", "integer", "??"),
    ],
)
def test_mathvista(reply: str, answer: str, kind: str, signs: str) -> None:
    cells = {"question_type": "free_form", "answer_type": kind, "answer": answer}
    assert both("mathvista", reply, **cells) == signs


def test_choices_of_mathvista() -> None:
    cells = {"question_type": "multi_choice", "choices": "['cat', 'dog']", "answer_option": "B"}
    assert both("mathvista", "B", **cells) == "11"
    assert both("mathvista", "答案：B", **cells) == "?1"


def test_a_judge_takes_the_answer_out() -> None:
    cells = {"question_type": "free_form", "answer_type": "integer", "answer": "14"}
    found = verdicts("mathvista", "3 or 4, perhaps fourteen", lambda question: "14", **cells)
    assert [verdict.score for verdict in found] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("reply", "answer", "signs"),
    [
        ("\\frac{1}{2}", "0.5", "11"),
        ("90^\\circ", "90", "11"),
        ("\\sqrt{2}", "1.41421356", "?1"),
        ("10%", "0.1", "?1"),
        ("\\boxed{7}", "7", "11"),
        ("The answer is 7", "7", "?1"),
        ("6", "7", "?0"),
    ],
)
def test_mathvision(reply: str, answer: str, signs: str) -> None:
    assert both("mathvision", reply, answer=answer, choices="[]") == signs


def test_nothing_is_evaluated(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    reply = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    assert both("mathvision", reply, answer="1") in ("?0", "??")
    assert not latex.is_equal(reply, "1")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("answer", "truth", "equal"),
    [("2*3", "6", True), ("2**3", "8", True), ("1/0", "0", False), ("x", "1", False)],
)
def test_arithmetic_is_read_not_run(answer: str, truth: str, equal: bool) -> None:
    assert latex.is_equal(answer, truth) is equal


@pytest.mark.parametrize(
    ("reply", "answer", "signs"),
    [("12", "12", "11"), ("\\boxed{12}", "12", "?1"), ("B", "B", "11"), ("(B)", "B", "?1")],
)
def test_mathverse(reply: str, answer: str, signs: str) -> None:
    assert both("mathverse", reply, answer=answer) == signs


def test_mathverse_asks_a_judge_twice() -> None:
    said = iter(["a dozen", "1", "a dozen", "0"])
    published, strict = verdicts("mathverse", "?!", lambda question: next(said), answer="12")
    assert (published.score, strict.score) == (1.0, 0.0)


@pytest.mark.parametrize("profile", PROFILES.values())
def test_figures_of_mathverse(profile: Profile) -> None:
    """Three rows of two versions, one of them wrong: the figures are counted by hand."""
    rows = [
        ("Text Lite", "Length", 1.0),
        ("Text Lite", "Angle", 0.0),
        ("Vision", "Angle", 1.0),
    ]
    scored = [
        Scored(
            Item(
                str(n),
                {
                    "metadata": f"{{'problem_version': '{version}', 'subject': 'Plane Geometry', "
                    f"'subfield': '{field}', 'source': 'made up'}}"
                },
            ),
            Verdict(score),
        )
        for n, (version, field, score) in enumerate(rows)
    ]
    assert profile.scorers["mathverse"].figures(scored) == {
        "Overall": pytest.approx(200 / 3, abs=1e-12),
        "Text Lite": 50.0,
        "Vision": 100.0,
        "Plane Geometry": pytest.approx(200 / 3, abs=1e-12),
        "Angle": 50.0,
        "Length": 100.0,
    }


def test_metadata_that_is_no_object_is_passed_over() -> None:
    item = Item("1", {"metadata": "[1]", "problem_version": "Text Only"})
    figures = STRICT.scorers["mathverse"].figures([Scored(item, Verdict(1.0))])
    assert figures == {"Overall": 100.0, "Text Only": 100.0}


@pytest.mark.parametrize(
    ("reply", "answer", "kind", "signs"),
    [
        ('{"short answer": "A"}', "A", "multiple choice", "11"),
        ("The answer is D", "D", "multiple choice", "?1"),
        ('{"short answer": 5}', "5", "float", "?1"),
        ('{"short answer": "2π"}', "6.283", "float", "11"),
        ('{"short answer": "3.15"}', "3.14", "float", "00"),
        ("", "yes", "text", "10"),  # a part of every answer
        ("ye", "yes", "text", "10"),
        ('{"short answer": "yes"}', "yes", "text", "11"),
    ],
)
def test_dynamath(reply: str, answer: str, kind: str, signs: str) -> None:
    assert both("dynamath", reply, answer=answer, answer_type=kind) == signs


def test_the_worst_case_needs_every_variant() -> None:
    scored = [
        Scored(Item(str(n), {"qid": qid, "subject": "algebra"}), Verdict(score))
        for n, (qid, score) in enumerate([("1", 1.0), ("1", 0.0), ("2", 1.0)])
    ]
    figures = STRICT.scorers["dynamath"].figures(scored)
    assert figures["Overall"] == pytest.approx(200 / 3)
    assert figures["Worst Case"] == 50.0
