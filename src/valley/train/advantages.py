"""GRPO on tensors: advantages inside a group, the clipped policy loss, an estimate of the KL.

`G` groups of `N` replies to one prompt, `B` replies, `T` tokens. Defaults are those of the public
GThinker configuration, which the Valley2.5 report leaves open.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Beyond this log-ratio e^x says nothing more, and infinity times a masked 0 would be NaN.
_MAX_LOG_RATIO = 20.0


def group_advantages(rewards: Tensor, *, unbiased: bool = True, eps: float = 1e-6) -> Tensor:
    """(reward - mean) / (std + eps) inside each group, `[G, N]` to `[G, N]`.

    `unbiased`: the standard deviation divides by N - 1, else by N. Raises ValueError for groups of
    one, which have no spread.
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"rewards are [groups, replies of a group] with 2 or more, got {[*rewards.shape]}"
        )
    spread = rewards.std(dim=1, correction=int(unbiased), keepdim=True)
    return (rewards - rewards.mean(dim=1, keepdim=True)) / (spread + eps)


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.3,
    dual: float = 3.0,
) -> Tensor:
    """Loss of each token, `[B, T]`; `advantages` `[B, 1]` or `[B, T]`.

    The ratio of probabilities counts within [1 - low, 1 + high] only (PPO, with the upper side
    apart as in DAPO); for a negative advantage the loss is at most `dual` times its size.
    """
    log_ratio = (log_probs - old_log_probs).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    clipped = log_ratio.clamp(math.log1p(-low), math.log1p(high))
    loss = torch.maximum(-advantages * log_ratio.exp(), -advantages * clipped.exp())
    return torch.where(advantages < 0, torch.minimum(loss, -advantages * dual), loss)


def k3_kl(log_probs: Tensor, reference: Tensor) -> Tensor:
    """The k3 estimate of KL(policy || reference) of each token: r - log r - 1 >= 0 with r the
    reference's share (Schulman 2020, "Approximating KL divergence")."""
    log_ratio = (reference - log_probs).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    return log_ratio.exp() - log_ratio - 1
