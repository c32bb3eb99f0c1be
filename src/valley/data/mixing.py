"""Several sources as one endless stream of samples, each position a pure function of the seed.

A source of weight `w` gives its k-th sample at the time `(k + u) / w`, where `u` in [0, 1) depends
on seed, source and k; the stream is these samples in the order of time. So the shares of the
sources hold at every moment to within one sample each, and with weights equal to the sizes (the
default) an epoch is every sample exactly once. Each source is walked in a permutation that is new
in every round; none of its samples comes again before all came. The position is all the state there
is: `walk(position)` resumes. No generator of a library is used, so its next version changes no run.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

_WORD = 2**64 - 1


@dataclass(frozen=True)
class Source:
    """`size` samples, drawn in proportion to `weight` (by default the size). `replay`: data of an
    earlier stage, to which `Mixture` gives a share of its own."""

    size: int
    weight: float | None = None
    replay: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a source needs at least one sample, got {self.size}")
        if self.weight is not None and not 0 < self.weight < math.inf:
            raise ValueError(f"a weight must be positive, got {self.weight}: leave the source out")


class Mixture:
    """`mixture[i]`: the (source, sample) at position i, for any i >= 0.

    `replay`: the share of the stream that all sources marked so have together. `len` and iterating
    are for one epoch: as many samples as the sources that are not replayed have, and the replayed
    ones between them.
    """

    def __init__(self, sources: Sequence[Source], seed: int = 0, replay: float = 0.0) -> None:
        if not sources:
            raise ValueError("a mixture needs at least one source")
        if not 0 <= replay < 1:
            raise ValueError(f"replay must be a share in [0, 1), got {replay}")
        fresh, old = ([s for s in sources if s.replay is kind] for kind in (False, True))
        if not fresh:
            raise ValueError("a mixture needs a source that is not replayed")
        if bool(old) != (replay > 0):
            raise ValueError(
                f"replay is {replay}, and {len(old)} sources are marked as replay: give both"
            )
        self.sources, self.seed = tuple(sources), seed
        self._length = round(sum(source.size for source in fresh) / (1 - replay))
        shares = {False: 1 - replay, True: replay}
        totals = {False: sum(map(_weight, fresh)), True: sum(map(_weight, old))}
        self._rates = [
            _weight(source) * (shares[source.replay] / totals[source.replay]) for source in sources
        ]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> tuple[int, int]:
        return next(self.walk(position))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return islice(self.walk(0), len(self))

    def walk(self, position: int) -> Iterator[tuple[int, int]]:
        """The stream from a position on, without end."""
        if position < 0:
            raise ValueError(f"a position must not be negative, got {position}")
        # Each source is at most one sample ahead of its share, so that all samples before this time
        # lie before the position: they need not be looked at one by one.
        start = max(0, position - len(self.sources) - 1)
        given = [math.floor(start * rate) for rate in self._rates]
        queue = [(self._time(source, k), source, k) for source, k in enumerate(given)]
        heapq.heapify(queue)
        for number in count(sum(given)):
            _, source, k = queue[0]
            heapq.heapreplace(queue, (self._time(source, k + 1), source, k + 1))
            if number >= position:
                yield source, self._sample(source, k)

    def _time(self, source: int, k: int) -> float:
        # 20 bits, so that the sum is exact as long as a source gave fewer than 2**33 samples.
        return (k + (_random(self._key(source, 0), k) >> 44) / 2**20) / self._rates[source]

    def _sample(self, source: int, k: int) -> int:
        size = self.sources[source].size
        return permuted(k % size, size, self._key(source, 1 + k // size))

    def _key(self, source: int, purpose: int) -> int:
        return _random(_random(self.seed, source), purpose)


def permuted(index: int, size: int, key: int) -> int:
    """Where a permutation of `range(size)`, one for each key, takes an index; no table is needed.

    A Feistel network on rows and columns of a rectangle that holds `size` cells; an index that
    lands in the few cells beyond is sent on until it comes back within.
    """
    width = math.isqrt(size - 1) + 1
    height = -(-size // width)
    while True:
        row, column = divmod(index, width)
        for number in (0, 2, 4):
            column = (column + _random(key, 8 * row + number)) % width
            row = (row + _random(key, 8 * column + number + 1)) % height
        index = row * width + column
        if index < size:
            return index


def _random(key: int, counter: int) -> int:
    """64 random bits: the value at a place of SplitMix64's sequence (Steele et al., 2014)."""
    word = (key + (counter + 1) * 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)


def _weight(source: Source) -> float:
    return source.size if source.weight is None else source.weight
