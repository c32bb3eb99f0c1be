"""Products in float32 over weights in bfloat16, for CPUs without instructions for bfloat16.

Such a CPU multiplies bfloat16 matrices some fifty times slower than float32 ones, and the memory
for float32 weights may not be there. So a weight is widened piece by piece while it is used, which
is exact. The product with a single row is bound by reading the weight: bfloat16 serves it as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

#: Elements of a weight that are widened at once: small enough to stay in a core's cache.
PIECE = 2**20


class WideLinear(nn.Linear):
    """`[…, in] -> […, out]` in the dtype of the input."""

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.dtype != torch.bfloat16 or input.numel() == input.shape[-1]:
            return super().forward(input)
        wide = input.float()
        rows = max(1, PIECE // self.in_features)
        output = input.new_empty(*input.shape[:-1], self.out_features)
        for start in range(0, self.out_features, rows):
            part = slice(start, start + rows)
            bias = None if self.bias is None else self.bias[part].float()
            output[..., part] = linear(wide, self.weight[part].float(), bias)
        return output


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions with which products in bfloat16 are fast."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def widen(model: nn.Module) -> None:
    """Let every linear layer of a model compute so. The weights stay what and where they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = WideLinear
