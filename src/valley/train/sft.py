"""Supervised learning of the assistant's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from valley.train.examples import Conversation
from valley.train.rows import Row
from valley.train.stream import Step
from valley.types import Sample


def whole(sample: Sample) -> Sequence[Conversation]:
    return [sample.messages]


def row_log_probs(model: nn.Module, row: Row) -> Tensor:
    """`[1, T]` log-probabilities of a row's targets, 0 where there is none."""
    found = model(**row.inputs, labels=row.labels, only_log_probs=True, use_cache=False)
    return found.log_probs


@dataclass(frozen=True)
class Supervised:
    """Weighted cross-entropy; the weights of a row say how much each token counts."""

    def prepare(self, model: nn.Module, step: Step, later: Iterator[Step]) -> Step:
        return step

    def weight(self, step: Step) -> float:
        return float(sum(row.weights.sum() for row in step.rows))

    def loss(self, model: nn.Module, row: Row) -> Tensor:
        return -(row_log_probs(model, row) * row.weights).sum()

    def measure(self, model: nn.Module, row: Row) -> dict[str, float]:
        return {"loss": float(self.loss(model, row)), "weight": float(row.weights.sum())}

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
