"""Loops are noticed, lists and long words are not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from valley.engine.stopping import MIN_REPEATS, MIN_SPAN, RepetitionStop, loop_period


@pytest.mark.parametrize("period", [1, 2, 7, 16, 40, 64])
def test_a_loop_is_found_with_its_period(period: int) -> None:
    block = list(range(period))
    tokens = [500, 501, 502] + block * max(MIN_REPEATS, MIN_SPAN // period + 1)
    assert loop_period(tokens) == period


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        list(range(1000)),
        [7] * (MIN_SPAN - 1),
        list(range(64)) * (MIN_REPEATS - 1),
        [1, 2, 3] * 60 + [9],
    ],
    ids=["empty", "no repeat", "short run", "few repeats", "loop that ended"],
)
def test_other_tails_are_no_loop(tokens: list[int]) -> None:
    assert loop_period(tokens) is None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=400))
def test_the_period_repeats(tokens: list[int]) -> None:
    period = loop_period(tokens)
    if period is not None:
        tail = tokens[-max(MIN_SPAN, period * MIN_REPEATS) :]
        assert all(a == b for a, b in zip(tail, tail[period:], strict=False))


def test_only_the_looping_row_ends() -> None:
    stop = RepetitionStop(prompt_length=2, every=1)
    rows = torch.stack([torch.arange(130), torch.full((130,), 5)])
    assert stop(rows, None).tolist() == [False, True]
    assert stop.looping == {1}
    assert stop(torch.arange(260).view(2, 130), None).tolist() == [False, True], "it stays ended"
