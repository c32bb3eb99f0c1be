"""Actions on a screen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.train.rewards.action import Action, action_reward, read_action

CLICK = Action.of({"action": "click", "box": [0, 0, 10, 10]})
TYPE = Action.of({"action": "type", "text": "hello", "submit": True})


@pytest.mark.parametrize(
    ("answer", "truth", "reward"),
    [
        ('{"action": "click", "box": [0, 0, 10, 10]}', CLICK, 1.0),
        ('{"box": [0, 0, 10, 8], "action": " click "}', CLICK, 0.8),
        ('{"action": "click", "box": [0, 0, 10, 6]}', CLICK, 0.0),
        ('{"action": "tap", "box": [0, 0, 10, 10]}', CLICK, 0.0),
        ('{"action": "click", "box": [0, 0, 10, 10], "times": 2}', CLICK, 0.0),
        ('{"action": "click"}', CLICK, 0.0),
        ('{"action": "type", "submit": true, "text": " hello "}', TYPE, 1.0),
        ('{"action": "type", "submit": true, "text": "Hello"}', TYPE, 0.0),
        ('{"action": "type", "text": "hello"}', TYPE, 0.0),
        ('{"action": "type", "submit": true, "text": "hello", "box": [0, 0, 1, 1]}', TYPE, 0.0),
    ],
)
def test_the_reward(answer: str, truth: Action, reward: float) -> None:
    assert action_reward(answer, truth) == pytest.approx(reward)


def test_the_threshold() -> None:
    answer = '{"action": "click", "box": [0, 0, 10, 6]}'
    assert action_reward(answer, CLICK, tau=0.5) == pytest.approx(0.6)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "click",
        "[]",
        "3",
        "{}",
        '{"action": ""}',
        '{"action": 3}',
        '{"action": "a"',
        '{"action": "click", "box": "1234"}',
        '{"action": "click", "box": [0, 0, NaN, 1]}',
        '{"action": "click", "box": [0, 0, 1e999, 1]}',
        '{"action": "click", "box": [0, 0, 1' + "0" * 400 + ", 1]}",
        '{"action": "click", "box": [true, 0, 2, 2]}',
        '{"action": "click", "x": ' + "9" * 5000 + "}",
        '{"action": "click", "x": ' + "[" * 4000 + "]" * 4000 + "}",
        '{"a":' * 1900,
        '{"action": "click", "x": "' + "a" * 10_000 + '"}',
    ],
)
def test_what_is_no_action(answer: str) -> None:
    assert read_action(answer) is None
    assert action_reward(answer, CLICK) == 0.0


@pytest.mark.parametrize("record", [{}, {"action": None}, {"action": "a", "box": [1, 1, 0, 0]}])
def test_a_truth_that_is_no_action_is_an_error(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is "):
        Action.of(record)


names = st.text(min_size=1, max_size=9).filter(lambda name: name not in ("action", "box"))
arguments = st.dictionaries(names, st.one_of(st.text(), st.integers(), st.booleans(), st.none()))


@given(arguments)
def test_an_action_written_as_json_is_right(given_arguments: dict[str, object]) -> None:
    record = {"action": "do", **given_arguments}
    assert action_reward(json.dumps(record), Action.of(record)) == 1.0
