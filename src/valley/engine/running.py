"""Rows that are decoded together and come and go between steps.

Letters: `B` rows, `T` columns, `D` width, `V` vocabulary. Rows are padded on the left, so that the
newest token of each stands in the last column, and every row counts its own positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache


class Rows:
    """The cache of some rows and the mask of its columns, `[B, T]`."""

    def __init__(self) -> None:
        self.cache = DynamicCache()
        self.mask = torch.zeros(0, 0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.mask)

    def take(self, indices: Sequence[int]) -> None:
        """Keep these rows, in this order; one may be named several times."""
        if list(indices) == list(range(len(self))):
            return
        order = torch.tensor(indices, dtype=torch.long, device=self.mask.device)
        mask = self.mask[order]
        # Columns that are padding in every row are given back.
        first = mask.shape[1] - int(mask.sum(-1).max()) if len(mask) else mask.shape[1]
        self.mask = mask[:, first:]
        for layer in self._layers():
            layer.keys = layer.keys[order, :, first:]
            layer.values = layer.values[order, :, first:]

    def join(self, other: Rows) -> None:
        """Append the rows of `other`."""
        if not len(self):
            self.cache, self.mask = other.cache, other.mask
            return
        width = max(self.mask.shape[1], other.mask.shape[1])
        self.mask = torch.cat([_widen(rows.mask, width, -1) for rows in (self, other)])
        for own, new in zip(self._layers(), other._layers(), strict=True):
            own.keys = torch.cat([_widen(item.keys, width, -2) for item in (own, new)])
            own.values = torch.cat([_widen(item.values, width, -2) for item in (own, new)])

    @torch.inference_mode()
    def step(self, model: Any, tokens: Sequence[int]) -> Tensor:
        """The next token of each row -> logits after it, `[B, V]` float32 on the CPU."""
        ids = torch.tensor(tokens, device=self.mask.device)[:, None]
        self.mask = pad(self.mask, (0, 1), value=1)
        return self._forward(model, 1, input_ids=ids)

    def _forward(self, model: Any, columns: int, **inputs: Tensor) -> Tensor:
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -columns:]
        output = model(
            **inputs,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float().cpu()

    def _layers(self) -> list[Any]:
        return list(self.cache.layers)


class Filling(Rows):
    """Prompts on their way into the cache, some columns at a time."""

    def __init__(self, prompts: Sequence[Tensor]) -> None:
        """`prompts`: embeddings `[T_i, D]`."""
        super().__init__()
        width = max(map(len, prompts))
        self._left = torch.stack([_widen(prompt, width, -2) for prompt in prompts])
        ones = [torch.ones(len(prompt), dtype=torch.long) for prompt in prompts]
        self._mask = torch.stack([_widen(row, width, -1) for row in ones]).to(self._left.device)

    @torch.inference_mode()
    def advance(self, model: Any, tokens: int) -> Tensor | None:
        """Fill in about as many tokens; the logits after the prompts once all are in."""
        columns = min(max(1, tokens // len(self._left)), self._left.shape[1])
        piece, self._left = self._left[:, :columns], self._left[:, columns:]
        self.mask = self._mask[:, : self.mask.shape[1] + columns]
        logits = self._forward(model, columns, inputs_embeds=piece)
        return None if self._left.shape[1] else logits


def _widen(tensor: Tensor, width: int, axis: int) -> Tensor:
    """Zeros in front of `tensor` along `axis` up to `width`."""
    missing = width - tensor.shape[axis]
    return pad(tensor, (0, 0) * (-axis - 1) + (missing, 0)) if missing else tensor
