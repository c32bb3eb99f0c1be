"""Exact match, edit similarity, R_string, and what the GThinker code does otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.train.rewards import gthinker
from valley.train.rewards.text import edit_similarity, exact_match, is_number, string_reward

LONG = "a red car is parked near a river bank"
NEAR = "a red car parked near the river bank"


@pytest.mark.parametrize("text", ["1", "-1", "+.5", "3.", "1.5e-3", " 12 ", "2E8"])
def test_numbers(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize("text", ["", ".", "1,000", "12 cm", "e5", "1e", "nan", "inf", "0x1", "١"])
def test_other_texts(text: str) -> None:
    assert not is_number(text)


def test_exact_match_strips_and_no_more() -> None:
    assert exact_match(" b\n", "b") == 1.0
    assert exact_match("B", "b") == exact_match("b.", "b") == 0.0


def test_edit_similarity_must_exceed_its_threshold() -> None:
    assert edit_similarity("abcde", "abcxy") == 0.0
    assert edit_similarity("abcde", "abcxy", tau=0.59) == pytest.approx(0.6)
    assert edit_similarity("abcdef", "abcdex") == pytest.approx(5 / 6)
    assert edit_similarity(" abcdef\n", "abcdex") == pytest.approx(5 / 6)


def test_a_long_string_may_be_nearly_right_and_a_short_one_or_a_number_not() -> None:
    assert string_reward(NEAR, LONG) == pytest.approx(1 - 6 / 37)
    assert string_reward("a red car was here", "a red car is here") == 0.0
    assert string_reward("a red car was here", "a red car is here", max_words=4) > 0.8
    assert string_reward("123456789012", "123456789013", max_words=0) == 0.0
    assert string_reward("one two three four fivf", "one two three four five") == 0.0
    assert string_reward("one two three four five siy", "one two three four five six") > 0.9


@given(st.text(max_size=40), st.text(max_size=40), st.floats(0, 0.99))
def test_similarity_is_a_symmetric_share(first: str, second: str, tau: float) -> None:
    value = edit_similarity(first, second, tau)
    assert value == edit_similarity(second, first, tau)
    assert value == 0.0 or tau < value <= 1.0
    assert (value == 1.0) == (first.strip() == second.strip())
    assert 0.0 <= string_reward(first, second) <= 1.0


@given(st.text())
def test_the_truth_itself_is_right(text: str) -> None:
    assert exact_match(text, text) == edit_similarity(text, text) == string_reward(text, text) == 1


@pytest.mark.timeout(30)
def test_megabytes_take_no_time() -> None:
    assert edit_similarity("ab" * 500_000, LONG) == 0.0
    assert string_reward("ab" * 500_000, LONG) == 0.0


def test_ways_of_the_gthinker_code() -> None:
    reply = f"<think>a</think><answer>{LONG}</answer>"
    assert gthinker.string_reward(reply, LONG) == 0.0  # the tags are counted
    assert gthinker.string_reward(LONG, LONG) == 1.0
    assert gthinker.string_reward("<answer>b</answer>", "b") == 1.0
    assert gthinker.exact_match("<answer> b</answer>", "b") == 0.0
    assert gthinker.exact_match("<answer>b</answer><answer>c</answer>", "b") == 1.0
    assert gthinker.exact_match("<answer>b\nc</answer>", "b\nc") == 0.0
    assert gthinker.overall(1.0, 0.0) == 0.5
    assert gthinker.overall(1.0, 0.0, format_weight=0.2) == 0.8
