"""The steps of a training: which samples each rank learns from, and their rows.

Every rank plans the whole step from sizes alone, so that all take equally many rows without asking
one another, and opens pixels only for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from typing import Any, NamedTuple

from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import IterableDataset

from valley.data.packing import Item, Pack, Packer, Packing
from valley.data.reading import DataError
from valley.encoding import Encoded, Encoder, pixel_tensors
from valley.prompt import IGNORE_INDEX
from valley.train.examples import Examples
from valley.train.recipe import Batch
from valley.train.rows import Row, make_row
from valley.train.sources import Samples
from valley.types import Image, Message, Request, Sample


class Loaded(NamedTuple):
    """The sample at a position of the stream, and its conversations with their pixels."""

    position: int
    sample: Sample
    conversations: list[Encoded]


@dataclass(frozen=True)
class Step:
    """What one rank learns from in one step.

    rows: every rank has equally many; samples: their number over all ranks; skipped: samples left
    out so far; state: of the stream after it.
    """

    rows: tuple[Any, ...]
    samples: int
    skipped: int
    state: dict[str, Any]


class Stream(IterableDataset):
    """The steps of one rank from wherever `state` left off; a pure function of the data's order.

    sample: the sample at a position. make: a row of loaded samples.
    times: how often each step comes.
    """

    def __init__(
        self,
        sample: Samples,
        examples: Examples,
        batch: Batch,
        length: int,
        make: Callable[[Sequence[Loaded]], Any],
        visual: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        times: int = 1,
    ) -> None:
        if batch.rows and batch.rows % ranks:
            raise ValueError(f"batch.rows {batch.rows} cannot be shared by {ranks} processes")
        self.sample, self.examples, self.batch = sample, examples, batch
        self.length, self.visual, self.make = length, visual, make
        self.rank, self.ranks, self.times = rank, ranks, times
        self.state: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Step]:
        for packs, state in self.plan():
            step = self._step(packs, state)
            yield from repeat(step, self.times)

    def plan(self) -> Iterator[tuple[list[list[Pack]], dict[str, Any]]]:
        """For each step its packs, `[rows][ranks]`, and the state after it: sizes only."""
        return self._fixed_samples() if self.batch.samples else self._full_rows()

    def _full_rows(self) -> Iterator[tuple[list[list[Pack]], dict[str, Any]]]:
        """`[rows][ranks]` packs filled to the length from a buffer."""
        packing = Packing(self.length, self.visual, self.ranks, self.batch.buffer)
        packer = Packer(packing, self._items_from)
        if self.state is not None:
            packer.load_state_dict(self.state)
        rows = (self.batch.rows or 1) // self.ranks
        while packs := list(islice(packer, rows)):
            yield packs, packer.state_dict()

    def _fixed_samples(self) -> Iterator[tuple[list[list[Pack]], dict[str, Any]]]:
        """`[rows][ranks]` packs of exactly `batch.samples` samples a step."""
        position = self.state["position"] if self.state is not None else 0
        number = self.batch.samples or 1
        packing = Packing(self.length, self.visual, self.ranks, buffer=number)
        items = self._items_from(position)
        while taken := list(islice(items, number)):
            packs = list(Packer(packing, partial(_from, taken)))
            yield packs, {"position": taken[-1].position + 1}

    def _items_from(self, position: int) -> Iterator[Item]:
        used = position
        while position - used <= len(self.sample):
            try:
                sample = self.sample(position)
            except DataError as error:
                self.examples.skipped.add(f"sample {position}", f"broken: {error}")
            else:
                if sample is None:
                    return
                if size := self.examples.measure(sample):
                    yield Item(position, size.length, size.visual)
                    used = position
            position += 1
        raise ValueError(f"data: of one whole round no sample can be used: {self.examples.skipped}")

    def _step(self, packs: list[list[Pack]], state: dict[str, Any]) -> Step:
        rows = tuple(self._row(ranked[self.rank]) for ranked in packs)
        samples = sum(len(pack) for ranked in packs for pack in ranked)
        return Step(rows, samples, self.examples.skipped.total, state)

    def _row(self, pack: Pack) -> Any:
        samples = [(item.position, self._known(item.position)) for item in pack]
        loaded = [Loaded(*known, self.examples.load(known[1])) for known in samples]
        return self.make([item for item in loaded if item.conversations])

    def _known(self, position: int) -> Sample:
        sample = self.sample(position)
        assert sample is not None, "the position was measured before"
        return sample


def _from(items: Sequence[Item], position: int) -> Iterator[Item]:
    return iter([item for item in items if item.position >= position])


@dataclass(frozen=True)
class RowMaker:
    """Rows of loaded samples.

    weighting: as in `rows.WEIGHTINGS`. unseen: pixels for rows without a picture, on several ranks.
    """

    encoder: Encoder
    weighting: str = "token"
    unseen: dict[str, Tensor] | None = None

    def __call__(self, loaded: Sequence[Loaded]) -> Row:
        conversations = [encoded for item in loaded for encoded in item.conversations]
        return make_row(conversations or [self.blank()], self.weighting, self.unseen)

    def blank(self) -> Encoded:
        """A conversation that teaches nothing, for a rank that has no sample in a row."""
        ids = self.encoder.writer.encode("\n")
        return Encoded(ids, [IGNORE_INDEX] * len(ids), [], [], [])


def unseen_pixels(encoder: Encoder) -> dict[str, Tensor]:
    """Pixels of the smallest picture that the towers see."""
    picture = Image(PILImage.new("RGB", (28, 28)))
    encoded = encoder.encode(Request((Message.of("user", picture, "."),)))
    return pixel_tensors(encoded.patches, encoded.tiles, encoded.plans)
