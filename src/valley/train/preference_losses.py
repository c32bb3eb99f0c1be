"""Losses on pairs of a chosen and a rejected reply: DPO, BCO with its running delta, SFT, and
their mix (MPO).

`B` pairs. Log-probabilities are summed over the tokens of a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Weights:
    """Of the three terms. The default is Valley2.5's, which drops SFT; its report implies that
    the others keep their weights."""

    dpo: float = 0.8
    bco: float = 0.2
    sft: float = 0.0


#: Mixed preference optimisation as InternVL published it.
MPO = Weights(sft=1.0)


@dataclass(frozen=True)
class LogRatios:
    """log policy(reply) - log reference(reply), each `[B]`."""

    chosen: Tensor
    rejected: Tensor


class RunningDelta:
    """BCO's reward shift: the mean over all micro-batches so far of their mean reward.

    Each is the mean over the pairs of all ranks, which is TRL's (0.10.1) where these have equally
    many. Part of the training state: save and load it with the checkpoint.
    """

    def __init__(self) -> None:
        self.mean = 0.0
        self.count = 0

    def update(self, rewards: Tensor) -> float:
        """Take in the rewards of one micro-batch, from every rank at once; the new mean."""
        pairs = rewards.detach().double()
        total = torch.stack([pairs.sum(), pairs.new_tensor(len(pairs))])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(total)
        added, number = total.tolist()
        if number:
            self.count += 1
            self.mean += (added / number - self.mean) / self.count
        return self.mean

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if set(state) != {"mean", "count"}:
            raise ValueError(f"the state of a running delta is mean and count, got {sorted(state)}")
        self.mean, self.count = float(state["mean"]), int(state["count"])


def dpo_loss(ratios: LogRatios, beta: float = 0.1) -> Tensor:
    """Loss of each pair, `[B]` (Rafailov et al. 2023)."""
    return -logsigmoid(beta * (ratios.chosen - ratios.rejected))


def bco_loss(ratios: LogRatios, delta: float, beta: float = 0.1) -> Tensor:
    """Loss of each pair, `[B]`: chosen above and rejected below `delta` (Jung et al. 2024)."""
    return -logsigmoid(beta * ratios.chosen - delta) - logsigmoid(delta - beta * ratios.rejected)


def sft_loss(token_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Mean negative log-probability of the tokens where `mask` is set, over the micro-batch."""
    return -(token_log_probs * mask).sum() / mask.sum().clamp(min=1)


@dataclass(frozen=True)
class PreferenceLoss:
    """`loss`: the weighted sum, a scalar; the terms for logging, detached."""

    loss: Tensor
    dpo: Tensor
    bco: Tensor
    sft: Tensor


def preference_loss(
    ratios: LogRatios,
    delta: RunningDelta,
    *,
    weights: Weights = Weights(),
    beta: float = 0.1,
    sft: Tensor | None = None,
    learn_delta: bool = True,
) -> PreferenceLoss:
    """The mixed loss of one micro-batch. `sft`: what `sft_loss` gives for the chosen replies.

    The delta takes this micro-batch in before it is used; `learn_delta` False leaves it, for an
    evaluation that must not change training. Raises ValueError where SFT has a weight and no loss.
    """
    if weights.sft and sft is None:
        raise ValueError("SFT has a weight: pass the loss of the chosen replies as sft=")
    if learn_delta and weights.bco:
        delta.update(beta * torch.cat([ratios.chosen, ratios.rejected]))
    dpo = dpo_loss(ratios, beta).mean()
    bco = bco_loss(ratios, delta.mean, beta).mean()
    sft = sft if sft is not None else torch.zeros_like(dpo)
    loss = weights.dpo * dpo + weights.bco * bco + weights.sft * sft
    return PreferenceLoss(loss, dpo.detach(), bco.detach(), sft.detach())
