"""Which waiting samples make up the packs of one step; integers only.

1. The oldest sample sets the step's goal. A pack shall be full and hold as many visual tokens as
   the buffer has on average, or as that sample leaves room for. Samples with much text thus wait
   for one another instead of leaving the towers of one rank idle.
2. Each pack begins with an old sample: those overdue, then the oldest within the goal. The next
   oldest go to the pack with the fewest visual tokens that has room.
3. Every pack is improved by the best exchange (put one in, take one out, or both) over all samples
   waiting, until it is close to the goal.

Where the stream ends and what is left fits into one step, the packs share it, the longest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Distance from the goal, as a share of the pack's length, at which a pack is left alone.
CLOSE = 1 / 64
#: Exchanges for each pack at most, and how many of its latest samples it may give up for one.
ROUNDS, GIVES = 4, 8
#: `[N, 2]`: length and visual tokens of the samples waiting, the oldest first.
Sizes: TypeAlias = NDArray[np.int64]
#: A row of `Sizes` with its number.
_Row: TypeAlias = tuple[int, int, int]
#: Packs are shorter than this, so that sums of lengths and of `_TAKEN` fit into 32 bits.
LONGEST = 2**24
#: The length of a row that is taken, and what makes any negative number larger than all lengths.
_TAKEN, _MASK = np.int32(2**29), np.int32(2**30 - 1)


class Limit(NamedTuple):
    """What a pack may hold, in tokens. Text is what is not visual."""

    length: int
    visual: int
    text: int


@dataclass
class Open:
    """A pack that is being filled, with its tokens."""

    rows: list[_Row] = field(default_factory=list)
    length: int = 0
    visual: int = 0

    def put(self, row: _Row) -> None:
        self.rows.append(row)
        self.length += row[1]
        self.visual += row[2]

    @property
    def held(self) -> int:
        """How many rows stay in the pack: the first, which is old, and all but the latest."""
        return max(1, len(self.rows) - GIVES)

    def take(self, place: int) -> _Row:
        row = self.rows.pop(place)
        self.length -= row[1]
        self.visual -= row[2]
        return row


def choose(sizes: Sizes, overdue: int, ranks: int, length: int, visual: int) -> list[list[int]]:
    """Rows for each rank. The first `overdue` rows are forced in, at least `ranks` of them. No pack
    holds more than `length` tokens and `visual` visual ones."""
    packs = [Open() for _ in range(ranks)]
    tokens, shown = sizes.sum(axis=0).tolist()
    if tokens <= ranks * length:
        urgency = sizes[:, 0].copy()
        urgency[:overdue] = LONGEST
        order = np.argsort(-urgency, kind="stable")
        _fill(packs, _rows(sizes, order), Limit(length, visual, length))
    else:
        goal = _goal(length, min(length * shown // tokens, visual), *sizes[0].tolist())
        rows = _rows(sizes, _by_age(sizes, overdue, ranks, goal))
        for pack, row in zip(packs, rows, strict=False):
            pack.put(row)
        _fill(packs, rows, goal, patience=2 * ranks)
        _improve(packs, sizes, goal, visual)
    return [sorted(row for row, *_ in pack.rows) for pack in packs]


def _rows(sizes: Sizes, order: NDArray[np.int64]) -> Iterator[_Row]:
    """Row, length and visual tokens in this order; few are looked at, so few become Python's."""
    for start in range(0, len(order), 64):
        some = order[start : start + 64]
        yield from zip(some.tolist(), *sizes[some].T.tolist(), strict=True)


def _goal(length: int, average: int, oldest: int, oldest_visual: int) -> Limit:
    """What every pack of the step shall hold: visual tokens as usual, unless the oldest sample
    has more, or so much text that there is no room for them."""
    visual = max(oldest_visual, min(average, length - (oldest - oldest_visual)))
    return Limit(length, visual, length - visual)


def _by_age(sizes: Sizes, overdue: int, ranks: int, goal: Limit) -> NDArray[np.int64]:
    """All rows in the order in which they are placed: the first of each pack (the overdue, then the
    oldest within the goal), then the others."""
    lengths, visuals = sizes.T
    within = (visuals <= goal.visual) & (lengths - visuals <= goal.text)
    within[:overdue] = True
    first = np.flatnonzero(within)[:ranks]
    others = np.ones(len(sizes), bool)
    others[first] = False
    return np.concatenate([first, np.flatnonzero(others)])


def _fill(
    packs: list[Open],
    rows: Iterable[_Row],
    limit: Limit,
    patience: int | None = None,
) -> None:
    """Give each row to the pack with the fewest visual tokens that has room for it, until
    `patience` rows found none."""
    order = sorted(packs, key=_load)
    for row in rows:
        _, length, visual = row
        for pack in order:
            shown, total = pack.visual + visual, pack.length + length
            if shown <= limit.visual and total - shown <= limit.text and total <= limit.length:
                pack.put(row)
                order.sort(key=_load)
                break
        else:
            if patience is not None and (patience := patience - 1) < 0:
                return


_load = attrgetter("visual", "length")


def _improve(packs: list[Open], sizes: Sizes, goal: Limit, visual_cap: int) -> None:
    """Exchange samples of packs that are far from the goal for others of the buffer."""
    #: What can be put in: every row that is free, or nothing (the last).
    offers = np.append(sizes, [[0, 0]], axis=0).astype(np.int32).T.copy()
    for pack in packs:
        offers[0, [row for row, *_ in pack.rows]] = _TAKEN
    for _ in range(ROUNDS):
        far = [pack for pack in packs if _distance(pack, goal) > CLOSE * goal.length]
        if not far or not _exchange(far, offers, goal, visual_cap):
            return


def _distance(pack: Open, goal: Limit) -> int:
    return abs(goal.length - pack.length) + abs(goal.visual - pack.visual)


def _exchange(packs: list[Open], offers: NDArray[np.int32], goal: Limit, visual_cap: int) -> bool:
    """Make the best exchange of each pack; False if no pack had one."""
    # What each pack lacks if it keeps all its rows, or gives up one of the last.
    lacks, ends = [], []
    for pack in packs:
        length, visual = goal.length - pack.length, goal.visual - pack.visual
        lacks.append((length, visual))
        lacks += [(length + row[1], visual + row[2]) for row in pack.rows[pack.held :]]
        ends.append(len(lacks))
    wanted = np.array(lacks, np.int32).T[:, :, None]
    # A pack that would be too long has a negative gap, which the mask makes a huge distance.
    cost = wanted[0] - offers[0]
    cost &= _MASK
    gap = wanted[1] - offers[1]
    if visual_cap < goal.length:
        cost[gap < goal.visual - visual_cap] = _TAKEN
    cost += np.abs(gap, out=gap)
    nothing = offers.shape[1] - 1
    moved = False
    for pack, start, end in zip(packs, [0, *ends], ends, strict=False):
        choice, row = divmod(int(cost[start:end].argmin()), nothing + 1)
        if choice == 0 and row == nothing:
            continue
        moved = True
        if choice:
            back = pack.take(pack.held + choice - 1)
            offers[0, back[0]] = back[1]
        if row != nothing:
            pack.put((row, *offers[:, row].tolist()))
            offers[0, row] = cost[:, row] = _TAKEN
    return moved
