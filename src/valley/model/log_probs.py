"""Log-probabilities of target tokens without ever holding all logits.

Every training loss here is made of them: cross-entropy, preference losses, policy losses. At 8,192
tokens and a vocabulary of 151,679 the logits alone would take 5 GB, and their gradients as much.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Tokens whose logits exist at a time.
ROWS = 512


def target_log_probs(hidden: Tensor, head: Tensor, labels: Tensor, ignore: int = -100) -> Tensor:
    """`[B, T, D]` states, `[V, D]` head, `[B, T]` labels -> `[B, T]` float32.

    Entry t is the log-probability of `labels[:, t]` by the state before it; 0 where the label is
    `ignore` and at the first position, which nothing precedes.
    """
    targets = labels[:, 1:]
    asked = targets != ignore
    found = _TargetLogProbs.apply(hidden[:, :-1][asked], head, targets[asked])
    told = torch.zeros(labels.shape, dtype=torch.float32, device=hidden.device)
    told[:, 1:][asked] = found
    return told


class _TargetLogProbs(torch.autograd.Function):
    """`[N, D]`, `[V, D]`, `[N]` -> `[N]`; the logits of a few rows at a time, again in backward."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.dtype
        states, table = hidden.to(dtype), head.to(dtype)
        found = torch.empty(len(states), dtype=torch.float32, device=hidden.device)
        totals = torch.empty_like(found)
        for start in range(0, len(states), ROWS):
            rows = slice(start, start + ROWS)
            logits = (states[rows] @ table.T).float()
            totals[rows] = logits.logsumexp(-1)
            found[rows] = logits.gather(1, targets[rows, None])[:, 0] - totals[rows]
        ctx.save_for_backward(states, table, targets, totals)
        ctx.dtypes = hidden.dtype, head.dtype
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        states, table, targets, totals = ctx.saved_tensors
        wants_states, wants_table, _ = ctx.needs_input_grad
        to_states = torch.empty_like(states) if wants_states else None
        to_table = torch.zeros_like(table, dtype=torch.float32) if wants_table else None
        for start in range(0, len(states), ROWS):
            rows = slice(start, start + ROWS)
            # d log p(target) / d logits = one-hot - softmax
            logits = (states[rows] @ table.T).float()
            slope = logits.sub_(totals[rows, None]).exp_().mul_(-gradient[rows, None])
            slope.scatter_add_(1, targets[rows, None], gradient[rows, None].float())
            slope = slope.to(table.dtype)
            if to_states is not None:
                to_states[rows] = slope @ table
            if to_table is not None:
                to_table.addmm_(slope.T.float(), states[rows].float())
        of_hidden, of_head = ctx.dtypes
        return (
            None if to_states is None else to_states.to(of_hidden),
            None if to_table is None else to_table.to(of_head),
            None,
        )
