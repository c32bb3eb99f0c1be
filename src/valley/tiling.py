"""Square tiles: a picture stretched into one, and cut from a padded canvas of several.

Source: the tile search of LLaVA-NeXT, as the published Valley2 code uses it. Pure functions of
integers; sizes and shapes are `(width, height)` or `(columns, rows)`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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

    `most` 0: a picture is never cut; frames are not either. `map_side`: tokens on each side of a
    tile. `joined`: the tokens of the canvas make one map, without its padding; else they follow
    tile by tile. `max_tokens`: of a picture; above it the joined map or else every tile is pooled.
    """

    tower: str
    side: int = 384
    most: int = 3
    map_side: int = 14
    max_tokens: int | None = 100_000
    joined: bool = True

    def single(self) -> AnyResolution:
        return self

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan:
        """`budget.max_tiles` counts the stretched picture too: 1 leaves it alone."""
        if frame or budget.max_tiles == 1 or not self.most:
            base = self.map_side if self.joined else self.pooled_side(1)
            return Plan(size, (Tiles(self.tower, self.side, base**2),))
        shape = self.best_shape(size, range(1, budget.max_tiles or self.most**2 + 1))
        content = fitted(size, (shape[0] * self.side, shape[1] * self.side))
        count = 1 + shape[0] * shape[1]
        num_tokens = (
            self.map_side**2 + self.window(size, shape).num_tokens
            if self.joined
            else count * self.pooled_side(count) ** 2
        )
        return Plan(size, (Tiles(self.tower, self.side, num_tokens, shape, content),))

    def pooled_side(self, count: int) -> int:
        """Tokens on each side of each of `count` tiles that are not joined."""
        if self.max_tokens is None or count * self.map_side**2 <= self.max_tokens:
            return self.map_side
        return math.isqrt(self.max_tokens // count)

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
        most = (self.max_tokens or math.inf) - self.map_side**2
        if kept[0] * kept[1] > most:
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
    """Every tower looks at every picture, and their tokens follow one another in this order.

    Towers of a kind see the same pixels, which travel once.
    """

    towers: tuple[AnyResolution | NativeResolution, ...]

    def __post_init__(self) -> None:
        tiles = [(t.side, t.most) for t in self.towers if isinstance(t, AnyResolution)]
        natives = [replace(t, tower="") for t in self.towers if isinstance(t, NativeResolution)]
        if tiles != tiles[:1] * len(tiles) or natives != natives[:1] * len(natives):
            raise ValueError("towers of one kind must see the same tiles or the same patches")

    def single(self) -> SideBySide:
        return SideBySide(tuple(tower.single() for tower in self.towers))

    def plan(self, size: Size, budget: Budget, frame: bool = False) -> Plan:
        plans = [tower.plan(size, budget, frame) for tower in self.towers]
        return Plan(size, tuple(view for plan in plans for view in plan.views))


#: How a tower of each kind looks at pictures.
KINDS: dict[str, type[AnyResolution | NativeResolution]] = {
    "tiles": AnyResolution,
    "native": NativeResolution,
}
#: How the tokens of several towers become those of a picture.
FUSIONS = {"sequence": SideBySide}


def mixture(towers: Sequence[Mapping[str, Any]], fusion: str) -> SideBySide:
    """The policy of a mixture of encoders.

    `towers`: in the order of their tokens, each with its `name`, its `kind` and, as `view`, the
    other fields of the class of this kind.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion {fusion!r} is not one of {', '.join(FUSIONS)}")
    for tower in towers:
        if tower["kind"] not in KINDS:
            raise ValueError(f"tower kind {tower['kind']!r} is not one of {', '.join(KINDS)}")
    return FUSIONS[fusion](
        tuple(KINDS[tower["kind"]](tower["name"], **tower["view"]) for tower in towers)
    )
