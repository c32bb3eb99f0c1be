"""Tiles, their windows and the joined plan of two towers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from valley.families.valley2 import VALLEY2
from valley.pixels import cut_tiles, pack_patches
from valley.tiling import AnyResolution, SideBySide, fitted
from valley.types import Budget

POLICY = AnyResolution("vision")
RELEASED = VALLEY2.policy({})
sides = st.integers(1, 3000)


def test_a_joined_map_above_the_limit_is_pooled() -> None:
    plan = AnyResolution("vision", max_tokens=500).plan((640, 480), Budget())
    assert plan.num_tokens == 481


def test_the_default_limits_keep_what_was_trained() -> None:
    for size in ((1920, 1080), (4000, 3000)):
        plan = RELEASED.plan(size, VALLEY2.budget)
        assert plan.native.num_tokens <= 729
        frame = RELEASED.plan(size, VALLEY2.budget, frame=True)
        assert frame.native.num_tokens <= 196
        assert frame.tiles is not None
        assert frame.tiles.count == 1


@given(sides, sides, st.integers(2, 10))
def test_tiles_stay_within_the_budget(width: int, height: int, most: int) -> None:
    plan = POLICY.plan((width, height), Budget(max_tiles=most))
    tiles = plan.tiles
    assert tiles is not None
    assert tiles.shape is not None
    assert 2 <= tiles.count <= most
    # The model knows the number of tiles and the size only, and must find the same shape.
    assert POLICY.best_shape((width, height), [tiles.count - 1]) == tiles.shape
    assert tiles.size[0] <= tiles.shape[0] * 384
    assert tiles.size[1] <= tiles.shape[1] * 384
    assert plan.num_tokens == 196 + POLICY.window((width, height), tiles.shape).num_tokens


@given(st.integers(1, 400), st.integers(1, 400))
def test_pixels_are_as_planned(width: int, height: int) -> None:
    small = SideBySide((AnyResolution("vision", side=28, map_side=1), RELEASED.towers[1]))
    if max(width, height) > 100 * min(width, height):
        return
    plan = small.plan((width, height), Budget(min_pixels=784, max_pixels=784 * 4))
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    assert plan.tiles is not None
    tiles = cut_tiles(picture, plan.tiles)
    assert tiles.shape == (plan.tiles.count, 3, 28, 28)
    # White content on a black canvas: every pixel of the content is there, and no more.
    assert (tiles[1:, 0] == 1.0).sum() == np.prod(plan.tiles.size)
    patches = pack_patches(picture, plan.native)
    assert len(patches) == plan.native.num_tokens * 4


def test_content_keeps_its_ratio() -> None:
    assert fitted((640, 480), (768, 768)) == (768, 576)
    assert fitted((480, 640), (768, 768)) == (576, 768)
    assert fitted((10, 10), (384, 768)) == (384, 384)
