"""Square tiles that a picture is stretched over: as many as suit its shape, then a thumbnail.

Source: the dynamic tiling of InternVL (arXiv 2404.16821) and the two-scale tiling (MSAC) with which
SAIL-VL is evaluated. Pure functions of integers; sizes are `(width, height)`, grids
`(columns, rows)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from valley.geometry import Plan, TileGrids
from valley.types import Budget, Size

Grid = tuple[int, int]


@cache
def candidates(least: int, most: int) -> tuple[Grid, ...]:
    """Every grid of `least` to `most` tiles, in the order in which they are compared."""
    columns = range(1, most + 1)
    grids = [(i, j) for i in columns for j in range(max(1, -(-least // i)), most // i + 1)]
    return tuple(sorted(grids, key=lambda grid: (grid[0] * grid[1], grid[0])))


def closest(size: Size, grids: Iterable[Grid], side: int) -> Grid:
    """The grid whose ratio is nearest to the picture's, one tile if there is none.

    Of equally near ones a later, larger grid is taken if the picture has more than half of its
    pixels.
    """
    best, nearest = (1, 1), math.inf
    for columns, rows in grids:
        distance = abs(size[0] / size[1] - columns / rows)
        large = size[0] * size[1] > 0.5 * side * side * columns * rows
        if distance < nearest or (distance == nearest and large):
            best, nearest = (columns, rows), distance
    return best


@dataclass(frozen=True)
class DynamicTiling:
    """At most `budget.max_tiles` tiles of the grid closest to the picture's ratio, and a thumbnail.

    `tile_tokens`: of a tile. `least`: tiles at least. A frame of a clip is one tile. With
    `budget.scales` 2 a second grid, which does not divide the first, follows it.
    """

    tower: str
    side: int = 448
    tile_tokens: int = 256
    thumbnail: bool = True
    least: int = 1

    def single(self) -> DynamicTiling:
        return self

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan:
        if min(size) < 1:
            raise ValueError(f"a picture of {size[0]}x{size[1]} pixels is empty")
        if budget.max_tiles is None:
            raise ValueError("the budget of this family must set max_tiles")
        if (budget.scales or 1) > 2:
            raise ValueError(f"scales {budget.scales}: a picture is cut at one scale or at two")
        grids = ((1, 1),) if frame else self.grids(size, budget.max_tiles, budget.scales == 2)
        return Plan(size, (TileGrids(self.tower, self.side, self.tile_tokens, grids),))

    def grids(self, size: Size, most: int, two_scales: bool = False) -> tuple[Grid, ...]:
        """The grids of a picture in order. A picture of one tile needs no thumbnail; at two
        scales that tile is the thumbnail and stands last."""
        every = candidates(min(self.least, most), most)
        first = closest(size, every, self.side)
        last = ((1, 1),) if self.thumbnail and first != (1, 1) else ()
        if not two_scales:
            return (first, *last)
        others = (g for g in every if first[0] % g[0] or first[1] % g[1])
        second = closest(size, others, self.side)
        return (second, first) if first == (1, 1) else (first, second, *last)
