"""Tensors of either layout under their native names, as they stream from the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from valley.families import Family
from valley.model.names import native_tensors


def native_weights(
    weights: Iterable[tuple[str, Tensor]], family: Family
) -> Iterator[tuple[str, Tensor]]:
    """Native names stay what they are; what the published layout holds as one tensor is cut into
    the native ones, and what no model uses is left out."""
    for name, tensor in weights:
        if name.startswith(family.layout.stray):
            continue
        parts = native_tensors(name, tuple(tensor.shape), family)
        pieces = tensor.flatten(0, 1) if len(parts[0][1]) < tensor.ndim else tensor
        for (native, _), piece in zip(parts, pieces.chunk(len(parts)), strict=True):
            yield native, piece
