"""Sizes, grids, token counts, boxes and frame picking."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from golden.folders import DATA
from valley.families.valley2_5 import PIXEL_PRESETS, VALLEY2_5
from valley.geometry import (
    MAX_ASPECT_RATIO,
    NativeResolution,
    Plan,
    View,
    pick_frames,
    smart_resize,
    spread_frames,
)
from valley.pixels import pack_patches
from valley.planning import Planner
from valley.types import Box, Budget

TABLE = json.loads((DATA / "valley25_vectors.json").read_text())["images"]["image_token_table"]
sides = st.integers(1, 3000)
areas = st.integers(784, 2_000_000)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['w']}x{row['h']}")
def test_published_presets(row: dict) -> None:
    for name, budget in PIXEL_PRESETS.items():
        plan = VALLEY2_5.policy({}).plan((row["w"], row["h"]), budget)
        (view,) = plan.views
        assert list(view.resizes[0]) == row["after_fetch"]
        assert [1, view.grid[1], view.grid[0]] == row[name]["grid_thw"]
        assert plan.num_tokens == row[name]["tokens"]
        assert list(plan.sees[::-1]) == row[name]["hw"]


@given(sides, sides, st.sampled_from([14, 28, 32]), areas, areas)
def test_smart_resize_keeps_its_promises(w: int, h: int, factor: int, a: int, b: int) -> None:
    low, high = sorted((a, b))
    assume(max(w, h) / min(w, h) <= MAX_ASPECT_RATIO)
    assume(high >= factor * factor)
    width, height = smart_resize((w, h), factor, low, high)
    assert width % factor == height % factor == 0
    assert width >= factor
    assert height >= factor
    # Above the limit only because the short side may not fall below one factor, or because a
    # picture that rounded to less than the minimum grew past a maximum that lies close to it.
    thin = min(width, height) == factor
    grown = round(w / factor) * round(h / factor) * factor**2 < low
    assert width * height <= high or thin or grown
    assert width * height >= low or w * h > high or width * height > (low - factor * (w + h)) // 4


@given(sides, sides)
def test_smart_resize_is_idempotent_without_pressure(w: int, h: int) -> None:
    assume(max(w, h) / min(w, h) <= MAX_ASPECT_RATIO)
    once = smart_resize((w, h), 28, 784, 10**9)
    assert smart_resize(once, 28, 784, 10**9) == once


def test_rounding_is_half_to_even() -> None:
    assert smart_resize((70, 98), 28, 784, 10**7) == (56, 112)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_empty_pictures(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is empty"):
        smart_resize(size, 28, 784, 10**7)


@pytest.mark.parametrize("size", [(2010, 10), (1, 201), (1, 4000), (50_000, 1)])
def test_a_line_of_pixels_is_still_seen(size: tuple[int, int]) -> None:
    """Its short side is stretched to a 200th of the long one."""
    least = -(-max(size) // MAX_ASPECT_RATIO)
    stretched = (max(size[0], least), max(size[1], least))
    assert smart_resize(size, 28, 784, 10**7) == smart_resize(stretched, 28, 784, 10**7)
    assert min(smart_resize(size, 28, 784, 10**7)) >= 28


budgets = st.builds(
    lambda low, extra, frame: Budget(
        min_pixels=low, max_pixels=low + extra, frame_max_pixels=frame
    ),
    st.integers(784, 100_000),
    st.integers(0, 300_000),
    st.none() | st.integers(784, 200_000),
)
policies = st.builds(
    NativeResolution,
    st.just("vision"),
    st.sampled_from([7, 14, 16]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([None, (3136, 12_845_056), (3136, 40_000)]),
)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 700), st.integers(1, 700), policies, budgets, st.booleans())
def test_tokens_grid_and_rows_agree(
    w: int, h: int, policy: NativeResolution, budget: Budget, frame: bool
) -> None:
    assume(max(w, h) / min(w, h) <= 20)
    plan = policy.plan((w, h), budget, frame)
    (view,) = plan.views
    rows = pack_patches(Image.new("RGB", (w, h)), view)
    assert plan.original == (w, h)
    assert len(rows) == view.grid[0] * view.grid[1] == plan.num_tokens * policy.merge_size**2
    assert rows.shape[1] == 3 * 2 * policy.patch_size**2
    assert view.size == tuple(side * policy.patch_size for side in view.grid)
    assert all(side % policy.merge_size == 0 for side in view.grid)


def test_a_frame_has_its_own_limit() -> None:
    budget = Budget(min_pixels=3136, max_pixels=1_003_520, frame_max_pixels=200_704)
    policy = VALLEY2_5.policy({})
    assert policy.plan((1024, 1024), budget).num_tokens == 1225
    assert policy.plan((1024, 1024), budget, frame=True).num_tokens == 256
    tight = Budget(min_pixels=400_000, max_pixels=500_000, frame_max_pixels=200_704)
    assert policy.plan((1024, 1024), tight, frame=True).num_tokens <= 256


@pytest.mark.parametrize("budget", [Budget(), Budget(min_pixels=3136), Budget(max_pixels=9999)])
def test_a_policy_needs_both_limits(budget: Budget) -> None:
    with pytest.raises(ValueError, match="min_pixels and max_pixels"):
        VALLEY2_5.policy({}).plan((100, 100), budget)


@given(sides, sides, areas, st.data())
def test_boxes_come_back_within_a_pixel(w: int, h: int, area: int, data: st.DataObject) -> None:
    assume(max(w, h) / min(w, h) <= MAX_ASPECT_RATIO)
    plan = VALLEY2_5.policy({}).plan((w, h), Budget(min_pixels=784, max_pixels=area))
    x0, x1 = sorted(data.draw(st.tuples(st.integers(0, w), st.integers(0, w))))
    y0, y1 = sorted(data.draw(st.tuples(st.integers(0, h), st.integers(0, h))))
    box = Box(x0, y0, x1, y1, "cat")
    seen = plan.to_model(box)
    assert 0 <= seen.x0 <= seen.x1 <= plan.sees[0] + 1e-6
    assert 0 <= seen.y0 <= seen.y1 <= plan.sees[1] + 1e-6
    back = plan.to_original(seen)
    assert back.label == "cat"
    for name in ("x0", "y0", "x1", "y1"):
        assert abs(getattr(back, name) - getattr(box, name)) <= 1


def test_boxes_by_hand() -> None:
    plan = Plan((100, 50), (View("vision", ((200, 200),), (14, 14), 49),))
    assert plan.to_model(Box(0, 0, 100, 50)) == Box(0, 0, 200, 200)
    assert plan.to_original(Box(100, 100, 200, 200)) == Box(50, 25, 100, 50)


@given(st.integers(1, 500), st.integers(1, 60))
def test_spread_frames(total: int, count: int) -> None:
    chosen = spread_frames(total, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(total, count)
    assert chosen[0] == 0
    assert chosen[-1] < total
    if count > 1:
        assert chosen[-1] == total - 1


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (100, [0, 14, 28, 42, 56, 70, 84, 99]),
        (9, [0, 1, 2, 3, 4, 5, 6, 8]),
        (3, [0, 1, 2]),
    ],
)
def test_eight_frames_as_published(total: int, expected: list[int]) -> None:
    """The published snippet: numpy.linspace(0, total - 1, 8) truncated to whole numbers."""
    assert spread_frames(total, 8) == expected


gaps = st.lists(st.floats(0.001, 2.0), min_size=0, max_size=80)


@given(
    gaps,
    st.none() | st.integers(1, 40),
    st.none() | st.floats(0.1, 30),
    st.none() | st.integers(1, 3000),
    st.none() | st.integers(1, 300),
)
def test_pick_frames_is_sorted_unique_and_bounded(
    steps: list[float],
    max_frames: int | None,
    fps: float | None,
    max_tokens: int | None,
    per_frame: int | None,
) -> None:
    times = [0.0, *itertools.accumulate(steps)]
    budget = Budget(max_frames=max_frames, fps=fps, max_video_tokens=max_tokens)
    chosen = pick_frames(times, budget, per_frame)
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] < len(times)
    assert len(chosen) <= (max_frames or len(times))
    if max_tokens and per_frame:
        assert len(chosen) * per_frame <= max(max_tokens, per_frame)
    if fps is None and len(chosen) > 1:
        assert chosen[-1] == len(times) - 1


def test_frames_at_a_rate() -> None:
    times = [i / 30 for i in range(90)]
    assert pick_frames(times, Budget(fps=2)) == [0, 15, 30, 45, 60, 75]
    assert pick_frames(times, Budget(fps=2, max_frames=3)) == [0, 30, 75]
    assert pick_frames(times, Budget(fps=100)) == list(range(90))
    assert pick_frames([5.0, 5.5, 6.0, 8.0], Budget(fps=1)) == [0, 2, 3]


def test_tokens_bound_a_clip() -> None:
    times = [float(i) for i in range(100)]
    assert len(pick_frames(times, Budget(max_video_tokens=1000), 250)) == 4
    assert pick_frames(times, Budget(max_video_tokens=10), 250) == [0]


@pytest.mark.parametrize("fps", [None, 1.0])
def test_a_clip_without_frames(fps: float | None) -> None:
    with pytest.raises(ValueError, match="no frames"):
        pick_frames([], Budget(fps=fps))


def test_a_checkpoint_may_say_that_one_resize_is_enough() -> None:
    """Two resizes would take a small picture down before enlarging it."""
    budget = Budget(min_pixels=84 * 84, max_pixels=100_000)
    twice = Planner(VALLEY2_5, VALLEY2_5.policy({}))
    once = replace(twice, single_resize=True)
    assert twice.plan((64, 64), budget).views[0].resizes == ((56, 56), (84, 84))
    assert once.plan((64, 64), budget).views[0].resizes == ((84, 84),)
