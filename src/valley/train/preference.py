"""Learning from pairs of a chosen and a rejected reply: DPO, BCO and SFT mixed (MPO)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Compared:
    """A row of chosen and rejected conversations in turn, and the log-probability `[C]` that the
    reference gives each."""

    row: Row
    before: Tensor

    @property
    def tokens(self) -> int:
        return self.row.tokens

    @property
    def pictures(self) -> int:
        return self.row.pictures

    def to(self, device: torch.device | str) -> Compared:
        return self  # it was made there


class Preferring:
    """The mixed loss of pairs. All pairs of a step are the micro-batch of BCO's delta, in whatever
    rows and on whatever ranks they are.

    reference: the model as it was before; None where the adapters of the model, switched off, leave
    it.
    """

    def __init__(self, recipe: Preference, reference: nn.Module | None) -> None:
        self.beta = recipe.beta
        self.weights = Weights(recipe.dpo, recipe.bco, recipe.sft)
        self.reference = reference
        self.delta = RunningDelta()
        #: Whether the delta has taken in the step that is learnt from.
        self._known = False
        self._sums: dict[str, float] = defaultdict(float)

    @torch.no_grad()
    def prepare(self, model: nn.Module, step: Step, later: Iterator[Step]) -> Step:
        rows = [self._compared(model, row) for row in step.rows]
        self._known = len(rows) > 1
        if self.weights.bco and self._known:  # of a single row, `loss` computes the rewards anyway
            rewards = [self.beta * _ratios(_summed(model, row.row), row) for row in rows]
            self.delta.update(torch.cat(rewards).flatten())
        return replace(step, rows=tuple(rows))

    def weight(self, step: Step) -> float:
        return float(sum(pairs_of(compared.row) for compared in step.rows))

    def loss(self, model: nn.Module, row: Compared) -> Tensor:
        plain, pairs = row.row, pairs_of(row.row)
        told = row_log_probs(model, plain)
        summed = sums_by_owner(told, plain)
        ratios = _ratios(summed, row)
        chosen_tokens = (plain.owner % 2 == 0) & (plain.labels != -100)
        found = preference_loss(
            LogRatios(ratios[:, 0], ratios[:, 1]),
            self.delta,
            weights=self.weights,
            beta=self.beta,
            sft=sft_loss(told, chosen_tokens),
            learn_delta=not self._known,
        )
        if not pairs:  # nothing is learnt from a row without pairs, but every rank takes part
            return 0.0 * told.sum()
        self._note(pairs, found.dpo, found.bco, ratios.detach(), summed.detach())
        return found.loss * pairs

    def measure(self, model: nn.Module, row: Row) -> dict[str, float]:
        ratios = _ratios(_summed(model, row), self._compared(model, row))
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

    @torch.no_grad()
    def _compared(self, model: nn.Module, row: Row) -> Compared:
        row = row.to(next(model.parameters()).device)
        with original(model, self.reference) as reference:
            return Compared(row, _summed(reference, row))

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


def _summed(model: nn.Module, row: Row) -> Tensor:
    """`[C]`: the log-probability of each reply of a row."""
    return sums_by_owner(row_log_probs(model, row), row)


def _ratios(summed: Tensor, row: Compared) -> Tensor:
    """`[B, 2]`: how much likelier the chosen and the rejected reply of each pair became."""
    return (summed - row.before)[: 2 * pairs_of(row.row)].view(-1, 2)


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
