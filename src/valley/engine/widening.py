"""Products in float32 over weights in bfloat16, for CPUs without instructions for bfloat16.

Such a CPU multiplies bfloat16 matrices some fifty times slower than float32 ones, and the memory
for float32 weights may not be there. So a weight is widened piece by piece while it is used, which
is exact. The product with a single row is bound by reading the weight: bfloat16 serves it as it is.
Convolutions, whose weights are small, are widened whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

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


class WideConv2d(nn.Conv2d):
    """Without padding, or with zeros; in the dtype of the input."""

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.dtype != torch.bfloat16:
            return super().forward(input)
        bias = None if self.bias is None else self.bias.float()
        window: tuple[Any, ...] = (self.stride, self.padding, self.dilation, self.groups)
        return conv2d(input.float(), self.weight.float(), bias, *window).to(input.dtype)


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16. Without them even AVX-512 is
    several times slower than in float32, though oneDNN says that it supports them."""
    known: Any = getattr(torch.cpu, "get_capabilities", dict)()
    if known.get("architecture") == "x86_64":
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def widen(model: nn.Module) -> None:
    """Let every linear layer and convolution of a model compute so. The weights stay what and
    where they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = WideLinear
        elif type(module) is nn.Conv2d and module.padding_mode == "zeros":
            module.__class__ = WideConv2d
