"""Adaptive stream packing: full packs, with equal visual load on every rank. Torch-free.

A pack is what one rank trains on in one step: whole samples up to a number of tokens. The packs of
all ranks are chosen together (`choosing.py`), so that every rank runs the packer for itself and
takes its own pack. The SAIL-VL2 report (section 5.1) names the parts: an aged buffer, a length cap,
equal visual tokens on every rank, old samples forced in; how they are done is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from valley.data.choosing import LONGEST, choose


class Item(NamedTuple):
    """A sample as the packer sees it: its position in the stream, its tokens, and how many of them
    are visual."""

    position: int
    length: int
    visual: int = 0


Pack: TypeAlias = tuple[Item, ...]


@dataclass(frozen=True)
class Packing:
    """`length`: tokens of a pack at most. `visual`: visual tokens of a pack at most, None for no
    cap. `ranks`: packs of a step. `buffer`: samples waiting for each rank (more if these have fewer
    tokens than two packs). `max_age`: steps after which a sample is forced in, at least `ranks` of
    them a step: so none waits longer than `max_age` steps and one for each `ranks` samples before
    it, which are `max_age + buffer` as a rule."""

    length: int
    visual: int | None = None
    ranks: int = 1
    buffer: int = 128
    max_age: int = 64

    def __post_init__(self) -> None:
        for name in ("length", "ranks", "buffer"):
            if getattr(self, name) < 1:
                raise ValueError(f"packing: {name} must be at least 1, got {getattr(self, name)}")
        if self.length >= LONGEST:
            raise ValueError(f"packing: length must be below {LONGEST}, got {self.length}")
        if self.max_age < 0:
            raise ValueError(f"packing: max_age must not be negative, got {self.max_age}")
        if self.visual is not None and self.visual < 0:
            raise ValueError(f"packing: visual must not be negative, got {self.visual}")

    @property
    def visual_cap(self) -> int:
        return self.length if self.visual is None else min(self.visual, self.length)

    def check(self, item: Item) -> None:
        """Raises ValueError for a sample that fits in no pack."""
        position, length, visual = item
        if length < 1 or not 0 <= visual <= length:
            raise ValueError(
                f"sample {position}: {length} tokens, {visual} of them visual: there must be at "
                "least one token, and no more visual ones than tokens"
            )
        if length > self.length:
            raise ValueError(
                f"sample {position} has {length} tokens, a pack holds {self.length}: truncate it, "
                "drop it or raise the length"
            )
        if visual > self.visual_cap:
            raise ValueError(
                f"sample {position} has {visual} visual tokens, a pack holds {self.visual_cap}: "
                "give it a smaller budget, drop it or raise the cap"
            )


class Packer:
    """Iterate for one step after another: a list with one pack for each rank.

    `items_from(position)` gives the stream from a position on, with rising positions. Every
    sample comes out in exactly one pack; where the stream ends, the buffer is emptied, and packs of
    the last step may be empty. The result depends on the stream alone. `state_dict` after a step,
    given to `load_state_dict` of a new packer, continues with the next.
    """

    def __init__(self, packing: Packing, items_from: Callable[[int], Iterator[Item]]) -> None:
        self.packing = packing
        self.items_from = items_from
        self.step = 0
        #: Steps that the longest-waiting sample so far had to wait.
        self.oldest = 0
        self._next = 0
        self._stream: Iterator[Item] | None = None
        #: `[N, 4]`: position, length, visual tokens, step of arrival; the oldest first.
        self._buffer: NDArray[np.int64] = np.empty((0, 4), np.int64)

    def __iter__(self) -> Iterator[list[Pack]]:
        return self

    def __next__(self) -> list[Pack]:
        self._refill()
        if not len(self._buffer):
            raise StopIteration
        packing = self.packing
        overdue = np.searchsorted(self._buffer[:, 3], self.step - packing.max_age, "right")
        sizes = self._buffer[:, 1:3]
        packs = choose(sizes, int(overdue), packing.ranks, packing.length, packing.visual_cap)
        taken = [row for pack in packs for row in pack]
        rows = self._buffer[taken]
        self.oldest = max(self.oldest, self.step - int(rows[:, 3].min()))
        stays = np.ones(len(self._buffer), bool)
        stays[taken] = False
        self._buffer = self._buffer[stays]
        self.step += 1
        items = map(Item._make, rows[:, :3].tolist())
        return [tuple(islice(items, len(pack))) for pack in packs]

    def state_dict(self) -> dict[str, Any]:
        """Integers only, fit for JSON."""
        return {
            "step": self.step,
            "oldest": self.oldest,
            "next": self._next,
            "buffer": self._buffer.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.oldest, self._next = state["step"], state["oldest"], state["next"]
        self._buffer = np.array(state["buffer"], np.int64).reshape(-1, 4)
        self._stream = None
        for row in state["buffer"]:
            self.packing.check(Item(*row[:3]))

    def _refill(self) -> None:
        """Fill the buffer. A sample that fits in no pack raises; those before it are kept."""
        packing = self.packing
        if self._stream is None:
            self._stream = self.items_from(self._next)
        samples = packing.ranks * packing.buffer - len(self._buffer)
        tokens = 2 * packing.ranks * packing.length - int(self._buffer[:, 1].sum())
        rows = []
        try:
            while samples > 0 or tokens > 0:
                if (item := next(self._stream, None)) is None:
                    break
                packing.check(item)
                if item.position < self._next:
                    raise ValueError(f"sample {item.position} comes late: positions must rise")
                self._next = item.position + 1
                rows.append((*item, self.step))
                samples -= 1
                tokens -= item.length
        finally:
            new = np.array(rows, np.int64).reshape(-1, 4)
            self._buffer = np.concatenate([self._buffer, new])


@dataclass(frozen=True)
class Summary:
    """What the packs of some steps amount to. `useful`: tokens over room for tokens. `imbalance`:
    visual tokens of the busiest rank over the mean of all ranks, both summed over the steps; 1.0 is
    equal load."""

    steps: int
    samples: int
    useful: float
    imbalance: float

    @classmethod
    def of(cls, steps: Iterable[list[Pack]], length: int) -> Summary:
        number = samples = packs = tokens = visual = 0
        busiest = 0.0
        for step in steps:
            loads = [sum(item.visual for item in pack) for pack in step]
            number += 1
            samples += sum(map(len, step))
            packs += len(step)
            tokens += sum(item.length for pack in step for item in pack)
            visual += sum(loads)
            busiest += max(loads) * len(step)
        useful = tokens / (packs * length) if packs else 1.0
        return cls(number, samples, useful, busiest / visual if visual else 1.0)
