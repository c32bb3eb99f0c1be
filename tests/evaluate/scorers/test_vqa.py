"""Short answers and OCRBench in both profiles."""

from __future__ import annotations

import pytest

from evaluate.scorers.both import both, verdicts
from valley.evaluate.scorers.ocr import HANDWRITTEN


@pytest.mark.parametrize(
    ("reply", "answer", "signs"),
    [
        ("cat", "['cat', 'cat', 'cat', 'cat']", "11"),
        ("two cats", "['2 cats', '2 cats', '2 cats', '2 cats']", "11"),
        ("cat", "['cat']", "01"),  # nobody else says so
        ("." * 40 + "ok", "['ok', 'ok', 'ok', 'ok']", "01"),  # 32 of them are deleted
        ("dog", "['cat', 'cat', 'cat', 'cat']", "00"),
    ],
)
def test_soft_accuracy(reply: str, answer: str, signs: str) -> None:
    assert both("vqa_soft", reply, answer=answer) == signs


@pytest.mark.parametrize(("agree", "score"), [(1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_ten_people(agree: int, score: float) -> None:
    truths = str(["cat"] * agree + ["dog"] * (10 - agree))
    for verdict in verdicts("vqa_soft", "cat", answer=truths):
        assert verdict.score == pytest.approx(score)


@pytest.mark.parametrize(
    ("reply", "answer", "signs"),
    [
        (" Some  Words ", "['some words']", "11"),
        ("STRASSE", "['straße']", "/1"),  # capitals are longer than what is compared
        ("abcd", "['abxy']", "//"),  # half is enough
        ("abc", "['xyz']", "00"),
        ("1", "[1]", "11"),
    ],
)
def test_anls(reply: str, answer: str, signs: str) -> None:
    assert both("anls", reply, answer=answer) == signs


@pytest.mark.parametrize(
    ("reply", "answer", "signs"),
    [
        *((f"{value}", "10", "11") for value in ("10", "10.5", "9.5", "1e1", "１０")),
        ("10.6", "10", "00"),
        ("red", "Red", "11"),
        ("1.05", "1", "01"),  # floating point
        ("8.4", "8", "01"),
        ("0.0", "0", "01"),
        ("10%", "10", "01"),
        ("nan", "nan", "01"),
        ("inf", "10", "00"),
        *((value, "1000", "01") for value in ("1,000", "$1000", "1,000.")),
        ("red.", "Red", "01"),
    ],
)
def test_relaxed_accuracy(reply: str, answer: str, signs: str) -> None:
    assert both("relaxed", reply, answer=answer) == signs


def test_years_are_exact() -> None:
    cells = {"question": "In which year?", "answer": "2010"}
    assert both("relaxed", "2015", **cells) == "10"
    assert both("relaxed", "In 2010.", **cells) == "01"
    assert both("relaxed", "2015", question="How many?", answer="2010") == "11"


@pytest.mark.parametrize(
    ("reply", "answer", "category", "signs"),
    [
        ("total: 12.00", "['12.00']", "Key Information Extraction", "11"),
        ("112.003", "['12.00']", "Key Information Extraction", "10"),
        ("anything", "['']", "Regular Text Recognition", "10"),
        ("＄１２.00", "['$12.00']", "Key Information Extraction", "01"),
        ("<think>is it CAT?</think>dog", "['cat']", "Regular Text Recognition", "10"),
        ("x + 1", "['x+1']", HANDWRITTEN, "11"),
        ("X + 1", "['x+1']", HANDWRITTEN, "00"),
        ("x\t+ 1", "['x+1']", HANDWRITTEN, "01"),
    ],
)
def test_ocrbench(reply: str, answer: str, category: str, signs: str) -> None:
    assert both("ocrbench", reply, answer=answer, category=category) == signs
