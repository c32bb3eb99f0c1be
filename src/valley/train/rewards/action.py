"""Reward for an action on a screen.

An action is a JSON object: `{"action": "click", "box": [x0, y0, x1, y1]}`, further keys being its
arguments: `{"action": "type", "text": "hello"}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from valley.train.rewards.overlap import MAX_LENGTH, TAU, Corners, above, corners, iou


@dataclass(frozen=True)
class Action:
    """`arguments`: the other keys and values in a canonical spelling. `box`: where it acts."""

    name: str
    arguments: str = "{}"
    box: Corners | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Action:
        """Raises ValueError where the record names no action or its box is none."""
        rest = dict(record)
        name, box = rest.pop("action", None), rest.pop("box", None)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"an action is {{'action': NAME, …}}, got {record!r:.200}")
        return cls(name.strip(), _spell(rest), None if box is None else corners(box))


def _spell(arguments: Mapping[str, Any]) -> str:
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in arguments.items()}
    return json.dumps(stripped, sort_keys=True)


def read_action(answer: str) -> Action | None:
    """The action that an answer is, None where it is no such object or above `MAX_LENGTH`."""
    if len(answer) > MAX_LENGTH:
        return None
    try:
        record = json.loads(answer)
        return Action.of(record) if isinstance(record, dict) else None
    except (ValueError, RecursionError):  # no JSON, no action, or nested too deep
        return None


def action_reward(answer: str, truth: Action, tau: float = TAU) -> float:
    """0 unless name and arguments are those of the truth; then 1, or, where the truth has a box,
    the overlap with it if it exceeds `tau`, else 0."""
    action = read_action(answer)
    if action is None or (action.name, action.arguments) != (truth.name, truth.arguments):
        return 0.0
    if truth.box is None:
        return float(action.box is None)
    return above(iou(action.box, truth.box), tau) if action.box else 0.0
