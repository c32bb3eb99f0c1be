"""Muon for the matrices inside the layers, AdamW for everything else."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from valley.nano.losses import Trainer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration of Muon (Jordan et al., 2024)."""


LAYERS = (".blocks.", ".vision_connector.", ".layers.")
"""In the names of the matrices that Muon moves."""


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """The nearest matrices with singular values near one, by Newton-Schulz; (n, rows, columns)."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is made orthogonal before every step.

    The update is scaled in the manner of arXiv 2502.16982, with a factor of 0.6, so that it shares
    AdamW's learning rate. Processes divide the matrices among themselves and add up the results.
    dtype: of the products by which a matrix becomes orthogonal.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ):
        self.dtype = dtype
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of all matrices; gradients must already be equal in all processes."""
        rank, processes = 0, 1
        if dist.is_initialized():
            rank, processes = dist.get_rank(), dist.get_world_size()
        for group in self.param_groups:
            matrices = group["params"]
            updates = [torch.zeros_like(matrix) for matrix in matrices]
            mine: dict[torch.Size, list[int]] = {}
            for index, matrix in enumerate(matrices):
                buffer = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                buffer.mul_(group["momentum"]).add_(matrix.grad)
                if index % processes == rank:
                    mine.setdefault(matrix.shape, []).append(index)
            for indices in mine.values():
                blended = torch.stack(
                    [
                        matrices[i].grad.add(
                            self.state[matrices[i]]["momentum"], alpha=group["momentum"]
                        )
                        for i in indices
                    ]
                )
                for i, update in zip(indices, orthogonal(blended.to(self.dtype)), strict=True):
                    updates[i] = update.to(matrices[i].dtype)
            if processes > 1:
                flat = torch.cat([update.flatten() for update in updates])
                dist.all_reduce(flat)
                pieces = flat.split([m.numel() for m in matrices])
                updates = [p.view_as(m) for p, m in zip(pieces, matrices, strict=True)]
            for matrix, update in zip(matrices, updates, strict=True):
                scale = 0.6 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.sub_(update, alpha=group["lr"] * scale)


def split_parameters(module: nn.Module) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Matrices of layers and connector for Muon, other matrices and plain vectors for AdamW."""
    hidden: list[Tensor] = []
    matrices: list[Tensor] = []
    plain: list[Tensor] = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim == 2 and any(part in name for part in LAYERS):
            hidden.append(parameter)
        elif parameter.ndim > 1 and "embed_tokens" not in name:
            matrices.append(parameter)
        else:
            plain.append(parameter)
    return hidden, matrices, plain


def make_optimizers(
    trainer: Trainer, rate: float, dtype: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest that is trained.

    No weight decay on vectors. The heads have to grow fast for what is below them to learn at
    all; the patch embedding, whose inputs are wide, and the connector, which follows a tower that
    moves, learn slower.
    """
    hidden, matrices, plain = split_parameters(trainer)
    connector = {id(p) for p in trainer.model.model.vision_connector.parameters()}
    patches = {id(p) for p in trainer.model.model.vision_tower.patch_embed.parameters()}
    head = {
        id(p)
        for part in (trainer.head, trainer.pointer, trainer.comparer, trainer.counter)
        for p in part.parameters()
    }
    layers: list[dict[str, Any]] = [
        {"params": [p for p in hidden if id(p) not in connector]},
        {"params": [p for p in hidden if id(p) in connector], "factor": 0.3},
    ]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in plain if id(p) not in head]},
        {"params": [p for p in matrices if id(p) in patches], "factor": 0.3},
        {"params": [p for p in [*matrices, *plain] if id(p) in head], "factor": 4.0},
    ]
    layers, groups = ([group for group in of if group["params"]] for of in (layers, groups))
    return [
        Muon(layers, rate, weight_decay=0.05, dtype=dtype),
        torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.97), weight_decay=0.0, fused=True),
    ]
