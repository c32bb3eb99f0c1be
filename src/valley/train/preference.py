"""Learning from pairs of a chosen and a rejected reply: DPO, BCO and SFT mixed (MPO)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from valley.data.records import Pair
from valley.train import ranks
from valley.train.examples import Conversation
from valley.train.preference_losses import (
    LogRatios,
    RunningDelta,
    Weights,
    dpo_loss,
    preference_loss,
    sft_loss,
)
from valley.train.recipe import Preference
from valley.train.rows import Row, sums_by_owner
from valley.train.sft import row_log_probs
from valley.train.stream import Step
from valley.types import Message, Sample


def both_replies(sample: Sample) -> Sequence[Conversation]:
    """The prompt with the chosen reply, then with the rejected one."""
    pair = Pair.of(sample)
    replies = (Message.of("assistant", text) for text in (pair.chosen, pair.rejected))
    return [(*pair.prompt, reply) for reply in replies]


class Preferring:
    """The mixed loss of pairs. A row holds chosen and rejected conversations in turn, and is the
    micro-batch of BCO's delta.

    reference: the model as it was before; None where the adapters of the model, switched off, leave
    it.
    """

    def __init__(self, recipe: Preference, reference: nn.Module | None) -> None:
        self.beta = recipe.beta
        self.weights = Weights(recipe.dpo, recipe.bco, recipe.sft)
        self.reference = reference
        self.delta = RunningDelta()
        self._sums: dict[str, float] = defaultdict(float)

    def prepare(self, model: nn.Module, step: Step, later: Iterator[Step]) -> Step:
        return step

    def weight(self, step: Step) -> float:
        return float(sum(pairs_of(row) for row in step.rows))

    def loss(self, model: nn.Module, row: Row) -> Tensor:
        pairs = pairs_of(row)
        told = row_log_probs(model, row)
        summed = sums_by_owner(told, row)
        ratios = self._ratios(model, row, summed)
        chosen_tokens = (row.owner % 2 == 0) & (row.labels != -100)
        found = preference_loss(
            LogRatios(ratios[:, 0], ratios[:, 1]),
            self.delta,
            weights=self.weights,
            beta=self.beta,
            sft=sft_loss(told, chosen_tokens),
        )
        if not pairs:  # nothing is learnt from a row without pairs, but every rank takes part
            return 0.0 * told.sum()
        self._note(pairs, found.dpo, found.bco, ratios.detach(), summed.detach())
        return found.loss * pairs

    def measure(self, model: nn.Module, row: Row) -> dict[str, float]:
        ratios = self._ratios(model, row, sums_by_owner(row_log_probs(model, row), row))
        dpo = dpo_loss(LogRatios(ratios[:, 0], ratios[:, 1]), self.beta)
        right = (ratios[:, 0] > ratios[:, 1]).sum()
        return {"loss": float(dpo.sum()), "accuracy": float(right), "weight": pairs_of(row)}

    def metrics(self) -> dict[str, float]:
        sums = ranks.summed(self._sums)
        self._sums.clear()
        pairs = max(1, sums.pop("pairs", 0.0))
        found = {name: total / pairs for name, total in sums.items()}
        return found | ({"delta": self.delta.mean} if self.weights.bco else {})

    def state_dict(self) -> dict[str, Any]:
        return self.delta.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.delta.load_state_dict(state)

    def _ratios(self, model: nn.Module, row: Row, summed: Tensor) -> Tensor:
        """`[B, 2]`: how much likelier the chosen and the rejected reply of each pair became."""
        with torch.no_grad(), original(model, self.reference) as reference:
            before = sums_by_owner(row_log_probs(reference, row), row)
        return (summed - before)[: 2 * pairs_of(row)].view(-1, 2)

    def _note(self, pairs: int, dpo: Tensor, bco: Tensor, ratios: Tensor, summed: Tensor) -> None:
        margins = self.beta * (ratios[:, 0] - ratios[:, 1])
        figures = {
            "pairs": pairs,
            "dpo": float(dpo) * pairs,
            "bco": float(bco) * pairs,
            "accuracy": float((margins > 0).sum()),
            "margin": float(margins.sum()),
            "chosen": float(summed[: 2 * pairs : 2].sum()),
            "rejected": float(summed[1 : 2 * pairs : 2].sum()),
        }
        for name, figure in figures.items():
            self._sums[name] += figure


def pairs_of(row: Row) -> int:
    """Pairs in a row; the row of a rank that has none holds a single conversation."""
    return (int(row.owner[0, -1]) + 1) // 2


@contextmanager
def original(model: nn.Module, reference: nn.Module | None) -> Iterator[nn.Module]:
    """The model that learning started from."""
    if reference is not None:
        yield reference
        return
    adapted: Any = getattr(model, "module", model)
    with adapted.disable_adapter():
        yield model
