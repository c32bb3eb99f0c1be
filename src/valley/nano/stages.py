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

from valley.nano.batches import Group
from valley.nano.losses import Trainer
from valley.nano.plans import (
    Plan,
    plan_ask,
    plan_look,
    plan_see,
    plan_settle,
    plan_tell,
    ramp,
)

TOWER = ("model.model.vision_tower.",)
DECODER = ("model.model.language_model.", "model.lm_head.")

SEES = (*TOWER, "head.")
WRITES = ("model.model.vision_connector.",)
SAYS = (*DECODER, "pointer.", "comparer.", "counter.")
MODEL = TOWER + WRITES + DECODER

ANSWER_WEIGHTS = {
    "word": 1.0,
    "card": 1.0,
    "shape": 0.8,
    "easy": 0.5,
    "clip": 0.6,
    "unknown": 0.1,
}
"""Weight of each group's mean answer loss where answers and marks are learnt together."""
SEEN_WEIGHT = 0.3
"""Of marks and of the codes of what is seen, there."""

UNSURE = 0.45, 0.7
"""Between these shares of its steps, what the decoder is told becomes as unsure as a tower is."""


@dataclass(frozen=True)
class Stage:
    """One part of the training.

    trains: prefixes of the parameters that move; begins_with: the stages whose results it takes up;
    gives_alphabet: the codes of characters follow from what its tower tells apart; averages: it
    ends half-way between what it began with and the mean of what its steps made (in the manner of
    arXiv 2109.01903: what was learnt before is kept, and something is learnt).
    """

    name: str
    plan: Callable[[np.random.Generator, float], Plan]
    steps: int
    rate: float
    trains: tuple[str, ...]
    begins_with: tuple[str, ...] = ()
    gives_alphabet: bool = False
    averages: bool = False
    warmup: int = 40
    decay_from: float = 0.6


STAGES = {
    stage.name: stage
    for stage in (
        Stage("see", plan_see, 1400, 2e-3, SEES, gives_alphabet=True, decay_from=1.0),
        Stage("look", plan_look, 3000, 1.4e-3, SEES + WRITES, ("see",), decay_from=0.1),
        Stage("tell", plan_tell, 2000, 1e-3, SAYS, ("see",), decay_from=0.15),
        Stage("ask", plan_ask, 2600, 4e-4, WRITES + SAYS, ("look", "tell"), decay_from=0.1),
        Stage(
            "settle", plan_settle, 250, 1e-4, MODEL, ("look", "ask"), averages=True, decay_from=1.0
        ),
    )
}
ROUNDS = (("see",), ("look", "tell"), ("ask",), ("settle",))
"""The order of the stages; those of one round run side by side."""


def rate_at(step: int, steps: int, stage: Stage) -> float:
    """Share of the peak rate: linear warm-up, a plateau, half a cosine to zero."""
    if stage.decay_from == 1:
        return min(1.0, (step + 1) / stage.warmup)
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
    if stage.trains == SAYS:
        total, weight = torch.zeros((), device=device), 1.0
        tokens = trainer.tell(group, device, ramp(progress, *UNSURE))
    elif stage.trains == MODEL:
        total, weight = torch.zeros((), device=device), ANSWER_WEIGHTS[group.kind]
        tokens = trainer.write(trainer.features(group, device))
    else:
        alone = not set(SAYS) <= set(stage.trains)
        features, seen = trainer.look(group, device)
        for name, (right, number) in seen.right.items():
            tally.add(f"{group.kind} {name}", right, number)
        share = 1.0 if alone else SEEN_WEIGHT
        total = share * seen.loss
        weight = 0.0 if alone else ANSWER_WEIGHTS.get(group.kind, 0.0)
        if not set(WRITES) <= set(stage.trains):
            return total
        tokens = trainer.write(features.detach() if alone else features)
        loss, figures = trainer.miswritten(tokens, group, device)
        for name, (amount, number) in figures.items():
            tally.add(f"{group.kind} {name}", amount, number)
        total = total + share * loss
    if weight:
        loss, figures = trainer.answer(
            tokens, group, ids, device, read=set(SAYS) <= set(stage.trains)
        )
        for name, (amount, number) in figures.items():
            tally.add(f"{group.kind} {name}", amount, number)
        tally.add(f"{group.kind} loss", loss.detach(), 1)
        total = total + weight * loss
    return total
