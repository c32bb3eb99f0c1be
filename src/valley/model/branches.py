"""A mixture of encoders: a branch is a tower and what makes decoder embeddings of its features.

Shape letters: `N` images, `P` patches of all images, `S` pixels on a side of a tile, `D` decoder
width, `n_i` tokens of image `i`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.siglip.configuration_siglip import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipVisionModel

from valley.model.connectors import CONNECTORS
from valley.model.towers import MergingTower
from valley.tiling import AnyResolution
from valley.types import Size


class TileBranch(nn.Module):
    """Square tiles through SigLIP and a connector: one `[n_i, D]` per image.

    `tiles` `[N, T, 3, S, S]`: tiles of each picture, of which the first `num_tiles` `[N]` are its
    own. `image_sizes` `[N, 2]`: width and height of the originals.
    """

    inputs: ClassVar[tuple[str, ...]] = ("tiles", "num_tiles", "image_sizes")

    def __init__(self, record: Mapping[str, Any], vision: SiglipVisionConfig, width: int) -> None:
        super().__init__()
        sizes = dict(record["connector"])
        if (kind := sizes.pop("kind")) not in CONNECTORS:
            raise ValueError(f"connector kind {kind!r} is not one of {', '.join(CONNECTORS)}")
        self.tower = SiglipVisionModel._from_config(vision)
        self.tower.use_head = (
            False  # its one vector is read by nobody; checkpoints carry its weights
        )
        self.connector = CONNECTORS[kind](vision.hidden_size, out_size=width, **sizes)
        self.tiling = AnyResolution(record["name"], **record["view"])

    def forward(self, tiles: Tensor, num_tiles: Tensor, image_sizes: Tensor) -> list[Tensor]:
        counts = num_tiles.tolist()
        own = torch.cat([rows[:count] for rows, count in zip(tiles, counts, strict=True)])
        maps = self.connector(self.tower(own.to(self.tower.dtype)).last_hidden_state)
        sizes = [(int(width), int(height)) for width, height in image_sizes.tolist()]
        join = self._joined if self.tiling.joined else self._one_by_one
        return [join(part, size) for part, size in zip(maps.split(counts), sizes, strict=True)]

    def _joined(self, maps: Tensor, size: Size) -> Tensor:
        """`[tiles, n*n, D]` -> `[tokens, D]`: the whole picture's tile, then the canvas without
        its padding, row by row."""
        if len(maps) == 1:
            return maps[0]
        columns, rows = shape = self.tiling.best_shape(size, [len(maps) - 1])
        window, side = self.tiling.window(size, shape), self.tiling.map_side
        canvas = maps[1:].view(rows, columns, side, side, -1).transpose(1, 2)
        canvas = canvas.reshape(rows * side, columns * side, -1)
        kept = canvas[slice(*window.rows), slice(*window.columns)]
        if kept.shape[:2] != window.pooled:
            pooled = F.adaptive_avg_pool2d(kept.permute(2, 0, 1), window.pooled)
            kept = pooled.permute(1, 2, 0)
        return torch.cat([maps[0], kept.reshape(-1, maps.shape[-1])])

    def _one_by_one(self, maps: Tensor, size: Size) -> Tensor:
        """`[tiles, n*n, D]` -> `[tokens, D]`: tile by tile, each pooled where they are too many."""
        side, pooled = self.tiling.map_side, self.tiling.pooled_side(len(maps))
        if pooled != side:
            square = maps.transpose(1, 2).unflatten(2, (side, side))
            maps = F.adaptive_avg_pool2d(square, pooled).flatten(2).transpose(1, 2)
        return maps.flatten(0, 1)


class NativeBranch(nn.Module):
    """Whole pictures through Qwen2-VL's tower and its own merger: one `[n_i, D]` per image.

    `pixel_values` `[P, 1176]` with `image_grid_thw` `[N, 3]`: patches of whole pictures.
    """

    inputs: ClassVar[tuple[str, ...]] = ("pixel_values", "image_grid_thw")

    def __init__(self, record: Mapping[str, Any], vision: Qwen2VLVisionConfig, width: int) -> None:
        super().__init__()
        self.tower = MergingTower._from_config(vision)
        self.block = vision.spatial_merge_size**2

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> list[Tensor]:
        merged = self.tower(pixel_values, grid_thw=image_grid_thw).pooler_output
        return list(merged.split((image_grid_thw.prod(-1) // self.block).tolist()))


def in_sequence(branches: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Per image the tokens of every branch, one branch after another."""
    return [torch.cat(tokens) for tokens in zip(*branches, strict=True)]


BRANCHES: dict[str, type[TileBranch | NativeBranch]] = {"tiles": TileBranch, "native": NativeBranch}
FUSIONS: dict[str, Callable[[Sequence[Sequence[Tensor]]], list[Tensor]]] = {"sequence": in_sequence}
