"""Multiple choice to fill in."""

from __future__ import annotations

import pytest

from valley.train.fill_in import FillIn, fill_in

CAPITAL = "What is the capital of France?"


@pytest.mark.parametrize(
    "question",
    [
        f"{CAPITAL}\nA. Berlin\nB. Paris\nC. Rome\nD. Oslo",
        f"{CAPITAL}\n(A) Berlin\n(B) Paris\n(C) Rome",
        f"{CAPITAL} (A) Berlin (B) Paris",
        f"{CAPITAL}\nOptions:\nA: Berlin\nB: Paris.\n",
        f"{CAPITAL}\nChoices:\nA) Berlin\nB) Paris\nAnswer with the option's letter directly.",
        f"Answer with one letter only.\n{CAPITAL}\nA. Berlin\n\nB. Paris\n",
    ],
)
@pytest.mark.parametrize("answer", ["B", "(B)", " B. ", "B. Paris", "(B) Paris."])
def test_the_text_of_the_right_option(question: str, answer: str) -> None:
    assert fill_in(question, answer) == FillIn(CAPITAL, "Paris")


def test_what_else_stands_in_the_question_stays() -> None:
    question = (
        "<image>\nIn triangle ABC, AB = 3.\nFind x.\nA. 3\nB. $\\frac{1}{2}$\nC. 7.5\nHint: a"
    )
    expected = "<image>\nIn triangle ABC, AB = 3.\nFind x.\nHint: a"
    assert fill_in(question, "B") == FillIn(expected, "$\\frac{1}{2}$")
    assert fill_in(question, "C") == FillIn(expected, "7.5")


@pytest.mark.parametrize(
    "question",
    [
        CAPITAL,
        f"{CAPITAL}\nA. Berlin",
        f"{CAPITAL}\nB. Berlin\nC. Paris",
        f"{CAPITAL}\nA. Berlin\nC. Rome\nB. Paris",
        f"{CAPITAL}\nA. Berlin\nB. \nC. Rome",
        f"{CAPITAL}\nA. Paris\nB. paris",
        "A. Berlin\nB. Paris",
        f"{CAPITAL}\nA. Berlin\nB. Paris\nC. All of the above",
        f"{CAPITAL}\nA. Berlin\nB. Paris\nC. None of these",
        f"{CAPITAL}\nA. Berlin\nB. Paris\nC. Both A and B",
        f"{CAPITAL}\nA. Berlin\nB. Paris\nC. A or B",
        f"{CAPITAL}\nA. <image>\nB. <image>",
        f"{CAPITAL}\nA. Figure 1\nB. the second picture",
        f"{CAPITAL}\nA. Berlin\nB. Paris\nC. Cannot be determined",
    ],
)
def test_options_that_cannot_be_left_out(question: str) -> None:
    assert fill_in(question, "B") is None


@pytest.mark.parametrize(
    "question",
    [
        "Which of the following is a capital?",
        "Which one of these is a capital?",
        "Which option is right?",
        "Which statement is true?",
        "Which city is not in Italy?",
        "Which city isn't in Italy?",
        "All are capitals EXCEPT",
        "What best describes the city?",
        "What is most likely to happen?",
        "Choose the capital.",
        "The capital is ____.",
    ],
)
def test_questions_that_need_their_options(question: str) -> None:
    assert fill_in(f"{question}\nA. Berlin\nB. Paris", "B") is None


@pytest.mark.parametrize("answer", ["", "C", "Paris", "b", "A and B", "B. Berlin", "AB", "Banana"])
def test_answers_that_are_no_option(answer: str) -> None:
    assert fill_in(f"{CAPITAL}\nA. Berlin\nB. Paris", answer) is None
