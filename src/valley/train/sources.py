"""The samples of a recipe's sources, mixed, by position."""

from __future__ import annotations

from collections.abc import Sequence

from valley.data import mixing
from valley.data.formats import open_samples
from valley.data.reading import Skipped
from valley.train.recipe import Source
from valley.types import Sample


class Samples:
    """`samples(i)`: the sample at position i of the mix, None after `epochs` rounds (never without
    them). Broken rows are counted in `skipped`, or raise DataError when they are asked for.

    Raises ValueError for a source that cannot be read or holds no sample.
    """

    def __init__(
        self, sources: Sequence[Source], seed: int, replay: float, epochs: float | None
    ) -> None:
        self.skipped = Skipped()
        self.sources = [self._open(source) for source in sources]
        self.mixture = mixing.Mixture(
            [
                mixing.Source(len(samples), source.weight, source.replay)
                for samples, source in zip(self.sources, sources, strict=True)
            ],
            seed,
            replay,
        )
        self.end = None if epochs is None else round(epochs * len(self.mixture))
        self._walk = self.mixture.walk(0)
        self._next = 0

    def __len__(self) -> int:
        """Of one round."""
        return len(self.mixture)

    def __call__(self, position: int) -> Sample | None:
        if self.end is not None and position >= self.end:
            return None
        if position != self._next:
            self._walk = self.mixture.walk(position)
        self._next = position + 1
        source, number = next(self._walk)
        return self.sources[source][number]

    def _open(self, source: Source) -> Sequence[Sample]:
        try:
            samples = open_samples(source.path, source.format, source.media_root, self.skipped)
        except OSError as error:
            raise ValueError(f"data: {source.path}: {error.strerror}") from None
        if not samples:
            raise ValueError(f"{source.path} holds no sample that can be used\n{self.skipped}")
        return samples
