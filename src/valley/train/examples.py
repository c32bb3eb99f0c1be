"""Samples as training sees them: measured from headers first, with pixels when their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from valley.data.reading import Skipped
from valley.encoding import Encoded, Encoder
from valley.geometry import Plan
from valley.prompt import IGNORE_INDEX, Tokens
from valley.types import Budget, Message, Request, Sample

Conversation: TypeAlias = tuple[Message, ...]


@dataclass(frozen=True)
class Size:
    """Tokens of a sample, how many of them are visual, and how many are learnt."""

    length: int
    visual: int
    learnt: int


@dataclass(frozen=True)
class Examples:
    """Encodes samples; one that cannot be used is skipped, counted and named, never fatal.

    read: the conversations that a sample is learnt from: one, or a chosen and a rejected one.
    sequence: tokens of a sample at most. A longer conversation loses its last turns; whole turns,
    so that no picture is cut.
    """

    encoder: Encoder
    read: Callable[[Sample], Sequence[Conversation]]
    sequence: int
    budget: Budget = Budget()
    generate: bool = False
    skipped: Skipped = field(default_factory=Skipped)

    def measure(self, sample: Sample) -> Size | None:
        """The size of a sample, from the headers of its media; None if it is skipped."""
        try:
            laid = [self._fit(sample, turns)[1:] for turns in self.read(sample)]
        except ValueError as error:
            self._skip(sample, error)
            return None
        ids = sum(len(tokens.input_ids) for tokens, _ in laid)
        learnt = sum(sum(n != IGNORE_INDEX for n in tokens.labels[1:]) for tokens, _ in laid)
        if ids > self.sequence:
            self._skip(sample, Unfit(f"too long: {ids} tokens, a row holds {self.sequence}"))
            return None
        if not learnt and not self.generate:
            self._skip(sample, Unfit("nothing to learn: no word of an assistant"))
            return None
        return Size(ids, sum(plan.num_tokens for _, plans in laid for plan in plans), learnt)

    def load(self, sample: Sample) -> list[Encoded]:
        """The sample with its pixels, one entry a conversation; [] if it is skipped after all,
        such as for a file that is cut off."""
        try:
            return [
                self.encoder.encode(
                    Request(self._fit(sample, turns)[0], self.budget), generate=self.generate
                )
                for turns in self.read(sample)
            ]
        except ValueError as error:
            self._skip(sample, error)
            return []

    def _fit(
        self, sample: Sample, turns: Conversation
    ) -> tuple[Conversation, Tokens, Sequence[Plan]]:
        """The conversation without the last turns that do not fit, its ids and plans."""
        while True:
            request = self.encoder.planner.outline(Request(turns, self.budget))
            tokens, plans = self.encoder.lay_out(request, self.generate)
            length = len(tokens.input_ids)
            if length <= self.sequence:
                return turns, tokens, plans
            earlier = [i for i, turn in enumerate(turns[:-1]) if turn.role == "assistant"]
            if self.generate or not earlier:
                raise Unfit(f"too long: {length} tokens, a row holds {self.sequence}")
            turns = turns[: earlier[-1] + 1]

    def _skip(self, sample: Sample, error: ValueError) -> None:
        reason = str(error) if isinstance(error, Unfit) else f"broken: {error}"
        self.skipped.add(sample.id or "a sample without id", reason)


class Unfit(ValueError):
    """A sound sample that this training cannot use."""
