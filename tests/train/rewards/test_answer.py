"""Taking the answer out of a reply, and its form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.train.rewards import Answer, format_reward

GOOD = "<think>a</think><answer>b</answer>"


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f" \n{GOOD}\n\t",
        "<think>a</think>\n\n<answer>b</answer>",
        "<think>a\nb</think><answer>b\nc</answer>",
        "<think><vcues_1>car</vcues_1> ok</think><answer>A</answer>",
    ],
)
def test_the_form_asked_for(reply: str) -> None:
    assert format_reward(reply) == 1.0
    assert Answer.of(reply).well_formed


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "b",
        "<answer>b</answer>",
        "<think>a</think>",
        "<think>a</think> x <answer>b</answer>",
        f"x {GOOD}",
        f"{GOOD} x",
        "<think>a</think><answer>b</answer><answer>c</answer>",
        f"{GOOD}{GOOD}",
        "<think>a<think>b</think></think><answer>c</answer>",
        "<think>a</think><answer><answer>c</answer></answer>",
        "<think>a <answer>x</answer></think><answer>c</answer>",
        "<answer>b</answer><think>a</think>",
        "<think>a</think><answer>b",
        "<think>a<answer>b</answer></think>",
        "<THINK>a</THINK><answer>b</answer>",
        "<think>a</answer><answer>b</think>",
    ],
)
def test_other_forms(reply: str) -> None:
    assert format_reward(reply) == 0.0
    assert not Answer.of(reply).well_formed


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (GOOD, "b"),
        ("<think>a</think><answer>\n b c \n</answer>", "b c"),
        ("<answer>b</answer>", "b"),
        ("I say <answer>b</answer>.", "b"),
        ("<think>put it in <answer></answer></think><answer>b</answer>", "b"),
        ("<think>a</think><answer></answer>", ""),
        ("<answer>b</answer><answer>c</answer>", None),
        ("<answer>b<answer>c</answer>", None),
        ("<answer>b</answer></answer>", None),
        ("<think>a <answer>b</answer>", None),
        ("<think>a</think><answer>b", None),
        ("<think>a</think>b", None),
        ("", None),
    ],
)
def test_the_one_answer(reply: str, text: str | None) -> None:
    assert Answer.of(reply).text == text


@given(st.text(alphabet="ab \n"), st.text(alphabet="ab <>/\n"))
def test_what_was_put_in_comes_out_stripped(thought: str, answer: str) -> None:
    reply = f"<think>{thought}</think>\n<answer>{answer}</answer>"
    assert Answer.of(reply) == Answer(answer.strip(), True)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "x", " "])))
def test_any_order_of_tags(pieces: list[str]) -> None:
    answer = Answer.of("".join(pieces))
    tags = [piece for piece in pieces if piece not in ("x", " ")]
    assert not answer.well_formed or tags == ["<think>", "</think>", "<answer>", "</answer>"]
    assert answer.text is not None or not answer.well_formed


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["<think>", "<answer>", "</think>", "<answer></answer>", " ", "<think></think>", "\n"]
)
def test_megabytes_of_tags_take_no_time(piece: str) -> None:
    assert not Answer.of(piece * (1_000_000 // len(piece))).well_formed
    assert not Answer.of("<think>" + piece * 100_000 + "<answer>").well_formed
