"""Domains, kinds of truth, and scores."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.train.rewards import (
    DOMAINS,
    KINDS,
    Action,
    Checker,
    Scored,
    Settings,
    Truth,
    score,
    score_all,
    truth_of,
)

LONG = "a red car is parked near a river bank"
NEAR = "a red car parked near the river bank"
BOXES = Truth("boxes", [[0, 0, 10, 10], [20, 20, 30, 30]])


def said(answer: str) -> str:
    return f"<think>well</think>\n<answer>{answer}</answer>"


#: Table 3 of the report, a line of it at a time: an answer that is right only by that reward.
TABLE = [
    ("Math", "1/2", "0.5", 1.0),
    ("math", "0.51", "0.5", 0.0),
    ("Physics", "5e-1", "0.5", 1.0),
    ("Physics", NEAR, LONG, 31 / 37),
    ("Chemistry", "5e-1", "0.5", 1.0),
    ("Chemistry", NEAR, LONG, 31 / 37),
    ("OCR", "5e-1", "0.5", 0.0),
    ("OCR", "0.5", "0.5", 1.0),
    ("OCR", "2x+1=y", Truth("equation", "y=2x+1"), 1.0),
    ("OCR", "2x+1=y", "y=2x+1", 0.0),
    ("OCR", NEAR, LONG, 31 / 37),
    ("Chart", "50.0", "50", 0.0),
    ("Chart", "2x+1=y", Truth("equation", "y=2x+1"), 1.0),
    ("Chart", NEAR, LONG, 31 / 37),
    ("Grounding", "[0, 0, 10, 8]", BOXES, 0.5),
    ("Grounding", NEAR, LONG, 31 / 37),
    ("Counting", "3.0", 3, 1.0),
    ("Counting", "4", "3", 0.0),
    ("Geo Guess", "50.0", "50", 1.0),
    ("geo_guess", "Paris", "Paris", 1.0),
    ("GUI", "[0, 0, 10, 8]", BOXES, 0.4),
    ("GUI", "Paris", "Paris", 1.0),
    ("GUI", '{"action": "back"}', Truth("action", {"action": "back"}), 1.0),
    ("Video", "0 to 8", Truth("span", [0, 10]), 0.8),
]


@pytest.mark.parametrize(("domain", "answer", "truth", "accuracy"), TABLE)
def test_the_table_of_the_report(domain: str, answer: str, truth: Any, accuracy: float) -> None:
    scored = score(domain, said(answer), truth)
    assert scored.format == 1.0
    assert scored.accuracy == pytest.approx(accuracy)
    assert scored.total == pytest.approx(1 + accuracy)


def test_every_domain_and_every_reward_of_it_is_in_the_table() -> None:
    tried = {(d.lower().replace(" ", "_"), truth_of(d, truth).kind) for d, _, truth, _ in TABLE}
    assert tried == {(domain, kind) for domain, rewards in DOMAINS.items() for kind in rewards}


def test_lambda_and_the_other_settings() -> None:
    reply = said("[0, 0, 10, 8]")
    assert score("grounding", reply, BOXES, Settings(accuracy_weight=4)).total == 3.0
    assert score("grounding", reply, BOXES, Settings(grounding="graded")).accuracy == 0.4
    assert score("grounding", reply, BOXES, Settings(tau_iou=0.9)).accuracy == 0.0
    assert score("ocr", said(NEAR), LONG, Settings(tau_text=0.9)).accuracy == 0.0
    assert score("ocr", said(NEAR), LONG, Settings(max_exact_words=99)).accuracy == 0.0
    assert score("math", said("0.51"), "0.5", Settings(tolerance=0.1)).accuracy == 1.0


def test_form_and_accuracy_are_apart() -> None:
    assert score("math", "<answer>3</answer>", "3") == Scored(0.0, 1.0, 1.0)
    assert score("math", said("4"), "3") == Scored(1.0, 0.0, 1.0)
    assert score("math", "3", "3") == Scored(0.0, 0.0, 0.0)
    assert score("math", said("3") + "<answer>4</answer>", "3") == Scored(0.0, 0.0, 0.0)
    assert score("math", said(" "), "3") == Scored(1.0, 0.0, 1.0)


def test_many_scores_in_order() -> None:
    with Checker(workers=2) as checker:
        items = [(domain, said(answer), truth) for domain, answer, truth, _ in TABLE]
        scores = score_all(items, Settings(checker=checker))
    assert [scored.accuracy for scored in scores] == pytest.approx([row[3] for row in TABLE])


def test_unknown_domains_name_those_known() -> None:
    with pytest.raises(ValueError, match=r"'poetry'.*math, physics.*geo_guess, gui, video"):
        score("poetry", said("3"), "3")


@pytest.mark.parametrize(
    ("domain", "truth"),
    [
        ("math", Truth("string", "a")),
        ("math", BOXES),
        ("video", "5"),
        ("ocr", Truth("action", {"action": "back"})),
    ],
)
def test_a_truth_the_domain_has_no_reward_for(domain: str, truth: Truth | str) -> None:
    with pytest.raises(ValueError, match=f"{domain}.*it takes"):
        score(domain, said("3"), truth)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("picture", "x"),
        ("string", ""),
        ("string", " "),
        ("string", None),
        ("number", True),
        ("boxes", []),
        ("boxes", [0, 0, 1, 1]),
        ("boxes", [[1, 0, 0, 1]]),
        ("boxes", [[0, 0, 1]]),
        ("boxes", [[0, 0, float("nan"), 1]]),
        ("boxes", ["0011"]),
        ("boxes", [["0", "0", "1", "1"]]),
        ("action", "click"),
        ("action", {"text": "x"}),
        ("span", [2, 1]),
        ("span", [1]),
        ("span", [0, float("inf")]),
        ("span", 3),
    ],
)
def test_what_is_no_truth(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"truth") as error:
        Truth(kind, value)
    assert len(str(error.value).splitlines()) == 1


def test_truths_are_the_same_however_written() -> None:
    assert Truth("boxes", ((0, 0, 1, 1),)) == Truth("boxes", [[0.0, 0, 1, 1]])
    assert Truth("string", " a\n") == Truth("string", "a")
    assert Truth("number", 3).value == "3"
    action = Action.of({"action": "back"})
    assert Truth("action", action) == Truth("action", {"action": "back"})
    assert len({Truth("span", [0, 1]), Truth("span", (0.0, 1.0))}) == 1
    assert set(KINDS) == {kind for rewards in DOMAINS.values() for kind in rewards}


@pytest.mark.parametrize(
    "wrong",
    [
        {"grounding": "mean"},
        {"tau_iou": 1.0},
        {"tau_text": -0.1},
        {"accuracy_weight": -1},
        {"tolerance": -1},
        {"max_exact_words": -1},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


@given(
    st.sampled_from([row for row in TABLE if not row[0].lower().startswith("math")]),
    st.text(alphabet="<>/thinkaswer []{}0123456789.,:", max_size=60),
)
def test_rewards_are_shares(row: tuple[str, str, Any, float], text: str) -> None:
    domain, _, truth, _ = row
    for reply in (text, said(text), said(text) + text):
        scored = score(domain, reply, truth)
        assert scored.format in (0.0, 1.0)
        assert 0.0 <= scored.accuracy <= 1.0
