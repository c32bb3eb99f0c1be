"""Grids of tiles: published vectors, one and two scales, and pixels as planned."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from golden.folders import DATA
from valley.dynamic_tiling import DynamicTiling, candidates, closest
from valley.pixels import cut_grids
from valley.types import Budget

ROWS = json.loads((DATA / "sailvl_tile_vectors.json").read_text())
POLICY = DynamicTiling("vision")
sides = st.integers(1, 20_000)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['w']}x{row['h']}")
def test_published_vectors(row: dict) -> None:
    size = (row["w"], row["h"])
    for name, wanted in row.items():
        if name.startswith("max"):
            plan = POLICY.plan(size, Budget(max_tiles=int(name[3:])))
            assert plan.tile_grids is not None
            assert list(plan.tile_grids.grid) == wanted["grid"]
            assert plan.num_tiles == wanted["tiles"]
            assert plan.num_tokens == wanted["tokens"]
    first, second = (tuple(row["msac10"][key]) for key in ("g1", "g2"))
    wanted = (second, first) if first == (1, 1) else (first, second, (1, 1))
    assert POLICY.grids(size, 10, two_scales=True) == wanted


@pytest.mark.parametrize(
    ("size", "most", "tiles"),
    [((448, 448), 10, 5), ((640, 480), 10, 11), ((1920, 1080), 10, 15), ((1920, 1080), 24, 34),
     ((1654, 2339), 24, 37), ((640, 480), 1, 2)],
)  # fmt: skip
def test_two_scales_cost_what_is_published(size: tuple[int, int], most: int, tiles: int) -> None:
    assert POLICY.plan(size, Budget(max_tiles=most, scales=2)).num_tiles == tiles


@pytest.mark.parametrize(
    ("size", "grid"),
    [((633, 634), (1, 1)), ((634, 634), (2, 2)), ((1266, 634), (2, 1)), ((1267, 634), (4, 2))],
)
def test_of_equal_ratios_the_size_decides(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert POLICY.grids(size, 10)[0] == grid


def test_numbers_of_candidates() -> None:
    assert [len(candidates(1, most)) for most in (1, 6, 10, 12)] == [1, 14, 27, 35]
    assert candidates(3, 4) == ((1, 3), (3, 1), (1, 4), (2, 2), (4, 1))
    assert closest((10, 10), (), 448) == (1, 1)


@given(st.integers(1, 12), st.integers(1, 60))
def test_candidates_are_all_grids_of_so_many_tiles(least: int, most: int) -> None:
    sides = range(1, most + 1)
    every = {(i, j) for i in sides for j in sides if least <= i * j <= most}
    found = candidates(least, most)
    assert set(found) == every
    assert list(found) == sorted(found, key=lambda grid: (grid[0] * grid[1], grid[0]))


def test_a_large_budget_is_no_endless_search() -> None:
    plan = POLICY.plan((100_000, 1), Budget(max_tiles=20_000))
    assert plan.tile_grids is not None
    assert plan.tile_grids.grid == (20_000, 1)


@given(sides, sides, st.integers(1, 40), st.sampled_from([None, 1, 2]), st.booleans())
def test_grids_tiles_and_tokens_agree(
    width: int, height: int, most: int, scales: int | None, thumbnail: bool
) -> None:
    policy = DynamicTiling("vision", thumbnail=thumbnail)
    plan = policy.plan((width, height), Budget(max_tiles=most, scales=scales))
    tiles = plan.tile_grids
    assert tiles is not None
    assert tiles.count == plan.num_tiles == sum(i * j for i, j in tiles.grids)
    assert plan.num_tokens == tiles.count * 256
    assert all(i * j <= most for i, j in tiles.grids)
    assert tiles.count <= (2 if scales == 2 else 1) * most + 1
    assert tiles.grids.count((1, 1)) <= 1 or scales == 2
    assert policy.plan((width, height), Budget(max_tiles=most), frame=True).num_tiles == 1


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 9), st.sampled_from([1, 2]))
def test_pixels_are_as_planned(width: int, height: int, most: int, scales: int) -> None:
    policy = DynamicTiling("vision", side=8, tile_tokens=1)
    plan = policy.plan((width, height), Budget(max_tiles=most, scales=scales))
    assert plan.tile_grids is not None
    cut = cut_grids(Image.new("RGB", (width, height), (255, 0, 0)), plan.tile_grids)
    assert cut.shape == (plan.num_tiles, 3, 8, 8)
    assert len(cut) * policy.tile_tokens == plan.num_tokens
    assert np.unique(cut[:, 0]).size == np.unique(cut[:, 1]).size == 1
    assert cut[0, 0, 0, 0] > 2 > -2 > cut[0, 1, 0, 0]


def test_tiles_stand_row_by_row_and_the_thumbnail_last() -> None:
    plan = DynamicTiling("vision", side=4, tile_tokens=1).plan((24, 16), Budget(max_tiles=6))
    assert plan.tile_grids is not None
    assert plan.tile_grids.grids == ((3, 2), (1, 1))
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[4:, 8:] = 255  # the last tile of the grid
    cut = cut_grids(Image.fromarray(pixels), plan.tile_grids)
    assert [bool(tile.max() > 1) for tile in cut] == [False] * 5 + [True, True]
    assert cut[5].min() > 1 > cut[6].min()


@pytest.mark.parametrize(
    ("size", "budget", "words"),
    [
        ((0, 5), Budget(max_tiles=2), "is empty"),
        ((5, 5), Budget(), "max_tiles"),
        ((5, 5), Budget(max_tiles=2, scales=3), "scales 3"),
    ],
)
def test_mistakes_are_named(size: tuple[int, int], budget: Budget, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        POLICY.plan(size, budget)
