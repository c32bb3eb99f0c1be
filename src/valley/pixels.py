"""From a picture to the numbers a tower reads. NumPy and PIL only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from valley.geometry import TileGrids, Tiles, View

Result = TypeVar("Result")


@dataclass(frozen=True)
class Colours:
    """Mean and standard deviation of each RGB channel in the pictures that a tower was trained on,
    as shares of full brightness."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"image_mean {self.mean} and image_std {self.std} must be three numbers each, "
                "those of image_std positive"
            )

    @cached_property
    def table(self) -> NDArray[np.float32]:
        """`[256, 3]`: the normalised value of every byte in every channel."""
        shares = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
        mean, std = np.array([self.mean, self.std], dtype=np.float32)
        return (shares - mean) / std


#: What published towers were trained with, Qwen2-VL with those of CLIP; None below stands for them.
CLIP = Colours((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIGLIP = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def in_parallel(work: Callable[..., Result], *arguments: Iterable[Any]) -> list[Result]:
    """`map` on as many threads as there are cores: Pillow and NumPy release the interpreter."""
    calls = list(zip(*arguments, strict=True))
    if len(calls) < 2:
        return [work(*call) for call in calls]
    with ThreadPoolExecutor(min(len(calls), os.cpu_count() or 1)) as threads:
        return list(threads.map(lambda call: work(*call), calls))


def cut_all(
    pictures: Sequence[Image.Image], plans: Sequence[TileGrids], colours: Colours | None = None
) -> list[NDArray[np.float32]]:
    """The tiles of every picture, as parts of one array that `joined` gives back uncopied."""
    ends = np.cumsum([tiles.count for tiles in plans])
    side = plans[0].side
    whole = np.empty((ends[-1], 3, side, side), dtype=np.float32)
    parts = np.split(whole, ends[:-1])
    return in_parallel(cut_grids, pictures, plans, [colours] * len(parts), parts)


def joined(stacks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The arrays one after another."""
    base: Any = stacks[0].base
    one = base is not None and all(stack.base is base for stack in stacks)
    return base if one and len(base) == sum(map(len, stacks)) else np.concatenate(stacks)


def cut_grids(
    picture: Image.Image,
    tiles: TileGrids,
    colours: Colours | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The picture stretched over each grid and cut into its tiles: `[tiles, 3, S, S]`."""
    side, start, table = tiles.side, 0, (colours or IMAGENET).table
    cut = np.empty((tiles.count, 3, side, side), dtype=np.float32) if out is None else out
    for columns, rows in tiles.grids:
        whole = picture.resize((columns * side, rows * side), Image.Resampling.BICUBIC)
        blocks = np.asarray(whole).reshape(rows, side, columns, side, 3).swapaxes(1, 2)
        end = start + rows * columns
        for tile, block in zip(cut[start:end], blocks.reshape(-1, side, side, 3), strict=True):
            for channel in range(3):
                np.take(table[:, channel], block[:, :, channel], out=tile[channel], mode="clip")
        start = end
    return cut


def cut_tiles(
    picture: Image.Image, tiles: Tiles, colours: Colours | None = None
) -> NDArray[np.float32]:
    """The picture stretched into one tile, then those of its padded canvas: `[tiles, 3, S, S]`."""
    side = tiles.side
    whole = picture.resize((side, side), Image.Resampling.BICUBIC)
    cut = [np.asarray(whole)]
    if tiles.shape and tiles.content:
        columns, rows = tiles.shape
        canvas = Image.new("RGB", (columns * side, rows * side))
        free = canvas.width - tiles.content[0], canvas.height - tiles.content[1]
        inside = picture.resize(tiles.content, Image.Resampling.BICUBIC)
        canvas.paste(inside, (free[0] // 2, free[1] // 2))
        crops = np.asarray(canvas).reshape(rows, side, columns, side, 3)
        cut += list(crops.transpose(0, 2, 1, 3, 4).reshape(-1, side, side, 3))
    return (colours or SIGLIP).table[np.stack(cut), np.arange(3)].transpose(0, 3, 1, 2)


def pack_patches(
    picture: Image.Image, view: View, colours: Colours | None = None, temporal: int = 2
) -> NDArray[np.float32]:
    """Resize as the view says and cut into patches: `[rows * columns, 3 * temporal * y * x]`.

    Patches are ordered in blocks of `view.block` x `view.block`, row-major over blocks and inside
    one; a row holds channel, time, y, x. A still picture fills every temporal slot.
    """
    for size in view.resizes:
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BICUBIC)
    table = (colours or CLIP).table
    (columns, rows), block = view.grid, view.block
    y, x = view.size[1] // rows, view.size[0] // columns
    # Ordered while they are bytes: floats, twice each, are eight times as much to move.
    blocks = np.asarray(picture).reshape(rows // block, block, y, columns // block, block, x, 3)
    blocks = blocks.transpose(0, 3, 1, 4, 6, 2, 5)  # block row, block column, in-block, C, y, x
    blocks = blocks.reshape(rows * columns, 3, 1, y * x)
    patches = np.empty((rows * columns, 3, temporal, y * x), np.float32)
    for channel in range(3):
        patches[:, channel] = table[:, channel][blocks[:, channel]]
    return patches.reshape(rows * columns, -1)
