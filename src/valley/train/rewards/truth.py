"""What is true of a sample, of one of the kinds that table 3 of the Valley2.5 report rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from valley.train.rewards.action import Action
from valley.train.rewards.overlap import Corners, Span, corners, is_span

Kind: TypeAlias = Literal["number", "string", "equation", "boxes", "action", "span"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Truth:
    """`value` by kind: text for `number` (any expression), `string` and `equation`; boxes
    `[[x0, y0, x1, y1], …]`; an action as `Action.of` reads it; a span `[start, end]`.

    Raises ValueError for a value that is none of its kind.
    """

    kind: Kind
    value: Any

    def __post_init__(self) -> None:
        if self.kind not in _READERS:
            raise ValueError(f"unknown kind of truth {self.kind!r}: use one of {', '.join(KINDS)}")
        try:
            value = _READERS[self.kind](self.value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no truth of kind {self.kind!r}: {error}") from None
        object.__setattr__(self, "value", value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"give text or a number, not {value!r:.200}")
    if not (text := str(value).strip()):
        raise ValueError("it is empty")
    return text


def _boxes(value: Any) -> tuple[Corners, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"give a list of boxes, not {value!r:.200}")
    return tuple(map(corners, value))


def _action(value: Any) -> Action:
    if isinstance(value, Action):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"give an object with the key 'action', not {value!r:.200}")
    return Action.of(value)


def _span(value: Any) -> Span:
    numbers = tuple(map(float, value))
    if not is_span(numbers):
        raise ValueError(f"give [start, end] with start < end, not {value!r:.200}")
    return numbers[0], numbers[1]


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "number": _text,
    "string": _text,
    "equation": _text,
    "boxes": _boxes,
    "action": _action,
    "span": _span,
}
