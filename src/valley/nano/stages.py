"""The stages of the embedded model's training: what each sees, moves and learns from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from valley.nano.batches import Group, Plan, plan_ask, plan_look, plan_tell
from valley.nano.losses import Trainer

SEES = ("model.model.vision_tower.", "model.model.vision_connector.", "head.")
SAYS = ("model.model.language_model.", "model.lm_head.", "pointer.", "comparer.")

ANSWER_WEIGHTS = {
    "word": 0.3,
    "card": 0.4,
    "shape": 0.6,
    "easy": 0.4,
    "clip": 0.6,
    "unknown": 0.1,
}
"""Weight of each group's mean answer loss where answers and marks are learnt together."""
SEEN_WEIGHT = 0.15
"""Of marks and alignment there."""
APART_UNTIL = 0.4
"""Share of `look` in which the alignment does not reach the tower."""


@dataclass(frozen=True)
class Stage:
    """One part of the training.

    trains: prefixes of the parameters that move; begins_with: the stages whose results it takes up.
    """

    name: str
    plan: Callable[[np.random.Generator, float], Plan]
    steps: int
    rate: float
    trains: tuple[str, ...]
    begins_with: tuple[str, ...] = ()
    warmup: int = 40
    decay_from: float = 0.7


STAGES = {
    stage.name: stage
    for stage in (
        Stage("look", plan_look, 1700, 2e-3, SEES),
        Stage("tell", plan_tell, 1400, 2e-3, SAYS),
        Stage("ask", plan_ask, 620, 1e-3, SEES + SAYS, ("look", "tell")),
    )
}


def rate_at(step: int, steps: int, stage: Stage) -> float:
    """Share of the peak rate: linear warm-up, a plateau, half a cosine to zero."""
    late = (step / steps - stage.decay_from) / (1 - stage.decay_from)
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, late)))) + 1e-3
    return min(falling, (step + 1) / stage.warmup)


@dataclass
class Tally:
    """Sums and numbers by name, over some steps."""

    entries: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def add(self, name: str, amount: Tensor | float, number: Tensor | float) -> None:
        before = self.entries.get(name, (0.0, 0.0))
        self.entries[name] = before[0] + amount, before[1] + number

    def means(self) -> dict[str, float]:
        return {n: round(float(a / c), 4) for n, (a, c) in sorted(self.entries.items()) if c}


def gathered(tally: Tally) -> Tally:
    """The tallies of all processes, added up."""
    if not dist.is_initialized():
        return tally
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, tally)
    total = Tally()
    for one in every:
        for name, entry in one.entries.items():
            total.add(name, *entry)
    return total


def group_loss(
    stage: Stage,
    progress: float,
    trainer: Trainer,
    group: Group,
    ids: dict[str, int],
    device: str,
    tally: Tally,
) -> Tensor:
    """The loss of a group after a share of the stage, its figures added to the tally."""
    total = torch.zeros((), device=device)
    weight = 1.0
    if stage.trains == SAYS:
        tokens = trainer.tell(group, device)
    else:
        alone = stage.trains == SEES
        seen, tokens = trainer.look(group, device, apart=alone and progress < APART_UNTIL)
        total = seen.loss * (1.0 if alone else SEEN_WEIGHT)
        for name, (right, number) in seen.right.items():
            tally.add(f"{group.kind} {name}", right, number)
        weight = ANSWER_WEIGHTS.get(group.kind, 0.0)
    if stage.trains != SEES and weight:
        loss, figures = trainer.answer(tokens, group, ids, device)
        for name, (amount, number) in figures.items():
            tally.add(f"{group.kind} {name}", amount, number)
        tally.add(f"{group.kind} loss", loss.detach(), 1)
        total = total + weight * loss
    return total
