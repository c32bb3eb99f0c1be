"""Square tiles: a picture stretched into one, and cut from a padded canvas of several.

Source: the tile search of LLaVA-NeXT, as the published Valley2 code uses it. Pure functions of
integers; sizes and shapes are `(width, height)` or `(columns, rows)`.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, replace

from valley.geometry import NativeResolution, Plan, Tiles
from valley.types import Budget, Size


@dataclass(frozen=True)
class Window:
    """The part of the joined token map that shows the picture, and not its padding.

    `rows`, `columns`: half-open ranges. `pooled`: (rows, columns) after pooling, where the map
    would exceed the limit of visual tokens.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    pooled: tuple[int, int]

    @property
    def num_tokens(self) -> int:
        return self.pooled[0] * self.pooled[1]


@dataclass(frozen=True)
class AnyResolution:
    """Tiles of the shape that shows a picture best, at most `most` x `most` of them.

    `map_side`: tokens on each side of a tile. `max_tokens`: of a picture; above it the joined map
    is pooled.
    """

    tower: str
    side: int = 384
    most: int = 3
    map_side: int = 14
    max_tokens: int = 100_000

    def single(self) -> AnyResolution:
        return self

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan:
        """`budget.max_tiles` counts the stretched picture too: 1 leaves it alone."""
        base = self.map_side**2
        if budget.max_tiles == 1:
            return Plan(size, (Tiles(self.tower, self.side, base),))
        shape = self.best_shape(size, range(1, budget.max_tiles or self.most**2 + 1))
        content = fitted(size, (shape[0] * self.side, shape[1] * self.side))
        num_tokens = base + self.window(size, shape).num_tokens
        return Plan(size, (Tiles(self.tower, self.side, num_tokens, shape, content),))

    def best_shape(self, size: Size, counts: Container[int]) -> tuple[int, int]:
        """(columns, rows) that keep most of the picture's pixels and, of those, waste least.

        `counts`: numbers of tiles to choose from.
        """
        sides = range(1, self.most + 1)
        candidates = [(i, j) for i in sides for j in sides if i * j in counts]

        def merit(shape: tuple[int, int]) -> tuple[int, int]:
            width, height = shape[0] * self.side, shape[1] * self.side
            scale = min(width / size[0], height / size[1])
            shown = min(int(size[0] * scale) * int(size[1] * scale), size[0] * size[1])
            return shown, shown - width * height

        return max(candidates, key=merit)

    def window(self, size: Size, shape: tuple[int, int]) -> Window:
        """Where the picture lies in the joined token map of its tiles."""
        columns, rows = shape[0] * self.map_side, shape[1] * self.map_side
        top = left = 0
        if size[0] / size[1] > columns / rows:
            top = (rows - int(size[1] * (columns / size[0]))) // 2
        else:
            left = (columns - int(size[0] * (rows / size[1]))) // 2
        kept = (rows - 2 * top, columns - 2 * left)
        if kept[0] * kept[1] > (most := self.max_tokens - self.map_side**2):
            ratio = kept[0] / kept[1]
            kept = (int(math.sqrt(most / ratio) * ratio), int(math.sqrt(most / ratio)))
        return Window((top, rows - top), (left, columns - left), kept)


def fitted(size: Size, canvas: Size) -> Size:
    """The largest size of the same ratio inside the canvas, the free side rounded up."""
    x, y = canvas[0] / size[0], canvas[1] / size[1]
    if x < y:
        return canvas[0], min(math.ceil(size[1] * x), canvas[1])
    return min(math.ceil(size[0] * y), canvas[0]), canvas[1]


@dataclass(frozen=True)
class SideBySide:
    """Two towers look at every picture: its tiles come first, then its native resolution.

    Frames, and pictures that are not alone, are not tiled (`max_tiles` 1).
    """

    tiles: AnyResolution
    native: NativeResolution

    def single(self) -> SideBySide:
        return replace(self, native=self.native.single())

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan:
        tiled = self.tiles.plan(size, replace(budget, max_tiles=1) if frame else budget)
        return Plan(size, tiled.views + self.native.plan(size, budget, frame).views)
