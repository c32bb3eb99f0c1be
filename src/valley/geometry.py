"""From a picture's size to integers: what the model sees and how many tokens that costs.

Everything that must agree about a picture (placeholders, pixels, token counts, boxes, limits)
reads the `Plan` made here. Pure functions of integers; sizes are `(width, height)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from valley.types import Box, Budget, Size

MAX_ASPECT_RATIO = 200


@dataclass(frozen=True)
class View:
    """One picture for one tower.

    `resizes`: sizes the original goes through, in order (bicubic); the last is what the tower
    sees. `grid`: patches as (columns, rows), read in blocks of `block` x `block`. `num_tokens`:
    tokens after the tower's reducer.
    """

    tower: str
    resizes: tuple[Size, ...]
    grid: tuple[int, int]
    num_tokens: int
    block: int = 1

    @property
    def size(self) -> Size:
        return self.resizes[-1]


@dataclass(frozen=True)
class Tiles:
    """One picture as tiles of `side` pixels for one tower.

    Tile 0 is the whole picture, stretched. Where `shape` (columns, rows) is given, the tiles of a
    canvas follow, row by row, in whose middle lies the picture in the size `content`.
    """

    tower: str
    side: int
    num_tokens: int
    shape: tuple[int, int] | None = None
    content: Size | None = None

    @property
    def count(self) -> int:
        return 1 + (self.shape[0] * self.shape[1] if self.shape else 0)

    @property
    def grid(self) -> tuple[int, int]:
        return self.shape or (1, 1)

    @property
    def size(self) -> Size:
        return self.content or (self.side, self.side)


@dataclass(frozen=True)
class TileGrids:
    """One picture as tiles of `side` pixels for one tower, stretched over each grid in turn.

    `grids`: (columns, rows), whose tiles stand row by row; a thumbnail is a grid of one tile.
    `tile_tokens`: of each tile after the tower's reducer.
    """

    tower: str
    side: int
    tile_tokens: int
    grids: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        return sum(columns * rows for columns, rows in self.grids)

    @property
    def num_tokens(self) -> int:
        return self.count * self.tile_tokens

    @property
    def grid(self) -> tuple[int, int]:
        return self.grids[0]

    @property
    def size(self) -> Size:
        return self.grid[0] * self.side, self.grid[1] * self.side


@dataclass(frozen=True)
class Plan:
    """One image or one frame: its original size and the views the towers get."""

    original: Size
    views: tuple[View | Tiles | TileGrids, ...]

    @property
    def native(self) -> View | None:
        """The view at native resolution, where a tower gets one."""
        return next((view for view in self.views if isinstance(view, View)), None)

    @property
    def tiles(self) -> Tiles | None:
        """The tiles, where a tower gets some."""
        return next((view for view in self.views if isinstance(view, Tiles)), None)

    @property
    def tile_grids(self) -> TileGrids | None:
        """The grids of tiles, where a tower gets some."""
        return next((view for view in self.views if isinstance(view, TileGrids)), None)

    @property
    def num_tiles(self) -> int:
        """Tiles of every kind; a picture seen whole is one."""
        return sum(getattr(view, "count", 0) for view in self.views) or 1

    @property
    def num_tokens(self) -> int:
        return sum(view.num_tokens for view in self.views)

    @property
    def sees(self) -> Size:
        """The size in pixels of what the first tower looks at."""
        return self.views[0].size

    def to_model(self, box: Box) -> Box:
        """Original pixels -> pixels of the first view."""
        return _scale_box(box, self.original, self.sees)

    def to_original(self, box: Box) -> Box:
        """Pixels of the first view -> original pixels."""
        return _scale_box(box, self.sees, self.original)


def _scale_box(box: Box, source: Size, target: Size) -> Box:
    x, y = target[0] / source[0], target[1] / source[1]
    return replace(box, x0=box.x0 * x, y0=box.y0 * y, x1=box.x1 * x, y1=box.y1 * y)


class Policy(Protocol):
    """How a family cuts a picture. `frame` marks a frame of a clip."""

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan: ...

    def single(self) -> Policy:
        """The same without a resize before the one that the budget asks for."""
        ...


def smart_resize(size: Size, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """Round both sides to multiples of `factor` and bring the area into the limits.

    The rule of Qwen2-VL (arXiv 2409.12191): round half to even; above `max_pixels` scale down and
    floor, below `min_pixels` scale up and ceil. No side falls below `factor`, so an extreme ratio
    may exceed `max_pixels` slightly. Beyond a ratio of 200 the short side is stretched to a 200th
    of the long one, so that a line of pixels is still seen.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width}x{height} pixels is empty")
    least = math.ceil(max(size) / MAX_ASPECT_RATIO)
    width, height = size = (max(width, least), max(height, least))
    sides = [max(factor, round(side / factor) * factor) for side in size]
    area = sides[0] * sides[1]
    if area > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        sides = [max(factor, math.floor(side / shrink / factor) * factor) for side in size]
    elif area < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        sides = [math.ceil(side * grow / factor) * factor for side in size]
    return sides[0], sides[1]


@dataclass(frozen=True)
class NativeResolution:
    """Keep a picture near its own size: `patch_size` patches, merged `merge_size` x `merge_size`.

    `fetch_pixels`: limits of a first resize that happens before the request's own limits, or None
    (two resizes in a row give other pixels than one).
    """

    tower: str
    patch_size: int = 14
    merge_size: int = 2
    fetch_pixels: tuple[int, int] | None = None

    def single(self) -> NativeResolution:
        return replace(self, fetch_pixels=None)

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan:
        factor = self.patch_size * self.merge_size
        low, high = budget.min_pixels, budget.max_pixels
        if frame and budget.frame_max_pixels is not None:
            high = min(high or budget.frame_max_pixels, budget.frame_max_pixels)
        if low is None or high is None:
            raise ValueError("the budget of this family must set min_pixels and max_pixels")
        resizes: tuple[Size, ...] = ()
        if self.fetch_pixels is not None:
            resizes = (smart_resize(size, factor, *self.fetch_pixels),)
        last = smart_resize(resizes[-1] if resizes else size, factor, min(low, high), high)
        grid = (last[0] // self.patch_size, last[1] // self.patch_size)
        num_tokens = grid[0] * grid[1] // self.merge_size**2
        return Plan(size, (View(self.tower, (*resizes, last), grid, num_tokens, self.merge_size),))


def spread_frames(total: int, count: int) -> list[int]:
    """`count` frame numbers spread evenly over `total`, first and last included, truncated.

    A clip shorter than `count` gives every frame once.
    """
    if total < 1:
        raise ValueError("the clip has no frames")
    if count >= total:
        return list(range(total))
    if count == 1:
        return [0]
    return [i * (total - 1) // (count - 1) for i in range(count)]


def pick_frames(
    timestamps: Sequence[float], budget: Budget, tokens_per_frame: int | None = None
) -> list[int]:
    """Choose frames of a clip within the budget.

    `timestamps`: seconds of every frame, rising. With `fps` the first frame at or after each tick
    is taken, else frames are spread evenly; `max_frames` and `max_video_tokens` (with
    `tokens_per_frame`) bound the number, and a bound below what was asked spreads again.
    """
    total = len(timestamps)
    bound = budget.max_frames or total
    if budget.max_video_tokens is not None and tokens_per_frame:
        bound = min(bound, max(1, budget.max_video_tokens // tokens_per_frame))
    if budget.fps is None:
        return spread_frames(total, bound)
    picked = _at_rate(timestamps, budget.fps)
    return [picked[i] for i in spread_frames(len(picked), bound)]


def _at_rate(timestamps: Sequence[float], fps: float) -> list[int]:
    if not timestamps:
        raise ValueError("the clip has no frames")
    picked: list[int] = []
    tick = timestamps[0]
    for index, seconds in enumerate(timestamps):
        # Half a millisecond of slack: container time bases round.
        if seconds + 5e-4 >= tick:
            picked.append(index)
            tick = timestamps[0] + (math.floor((seconds - timestamps[0]) * fps + 1e-3) + 1) / fps
    return picked
