"""Patches equal those of transformers' own image processor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from valley.families.valley2_5 import VALLEY2_5
from valley.geometry import NativeResolution, View
from valley.pixels import CLIP, Colours, pack_patches
from valley.types import Budget

ONE_RESIZE = NativeResolution("vision")


def noise(seed: int, width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(28, 300),
    st.integers(28, 300),
    st.integers(784, 30_000),
    st.integers(0, 100_000),
)
def test_equal_to_transformers(seed: int, width: int, height: int, low: int, extra: int) -> None:
    picture = noise(seed, width, height)
    theirs = Qwen2VLImageProcessorPil(
        size={"shortest_edge": low, "longest_edge": low + extra},
        patch_size=14,
        merge_size=2,
        temporal_patch_size=2,
    )(picture, return_tensors="np")
    budget = Budget(min_pixels=low, max_pixels=low + extra)
    (view,) = ONE_RESIZE.plan(picture.size, budget).views
    ours = pack_patches(picture, view)
    assert theirs["image_grid_thw"].tolist() == [[1, view.grid[1], view.grid[0]]]
    assert ours.dtype == np.float32
    assert ours.shape == theirs["pixel_values"].shape
    assert np.abs(ours - theirs["pixel_values"]).max() <= 1e-6


def test_two_resizes_are_not_one() -> None:
    """The published example: what skipping the first resize would change."""
    picture = noise(3, 100, 70)
    (view,) = (
        VALLEY2_5.policy({}).plan(picture.size, Budget(min_pixels=3136, max_pixels=3136)).views
    )
    assert view.resizes == ((112, 56), (56, 28))
    twice = pack_patches(picture, view)
    once = pack_patches(picture, View("vision", ((56, 28),), (4, 2), 2, 2))
    expected = [0.426698, 1.258809, -0.040451, -0.040451, -0.624388, 0.587281, 0.047139, -0.536798]
    assert twice.shape == (8, 1176)
    assert np.abs(twice[0, :8] - expected).max() <= 1e-6
    assert twice.mean(dtype=np.float64) == pytest.approx(0.18644633889198303, abs=1e-6)
    assert np.abs(twice - once).max() == pytest.approx(0.1350698471069336, abs=1e-6)


def test_the_order_of_patches_by_hand() -> None:
    """Blocks of 2x2 patches row by row, and inside a patch channel, time, y, x."""
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    for row in range(4):
        for column in range(4):
            pixels[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, 0] = 10 * row + column
    pixels[0, 1, 1], pixels[1, 0, 2] = 100, 200
    NativeResolution("vision", patch_size=2, merge_size=2)
    rows = pack_patches(Image.fromarray(pixels), View("vision", ((8, 8),), (4, 4), 4, 2))
    raw = np.rint(
        (
            rows.reshape(16, 3, 2, 2, 2) * np.array(CLIP.std)[:, None, None, None]
            + np.array(CLIP.mean)[:, None, None, None]
        )
        * 255
    ).astype(int)
    order = [0, 1, 10, 11, 2, 3, 12, 13, 20, 21, 30, 31, 22, 23, 32, 33]
    assert raw[:, 0, 0, 0, 0].tolist() == order
    assert (raw[:, :, 0] == raw[:, :, 1]).all()
    assert raw[0, 1, 0].tolist() == [[0, 100], [0, 0]]
    assert raw[0, 2, 0].tolist() == [[0, 0], [200, 0]]


def test_colours_a_tower_was_trained_with() -> None:
    """By hand: share of full brightness, minus the mean, over the standard deviation."""
    own = Colours((0.5, 0.0, 0.2), (0.5, 2.0, 0.1))
    picture = Image.new("RGB", (28, 28), (255, 51, 0))
    rows = pack_patches(picture, View("vision", ((28, 28),), (2, 2), 1, 2), own)
    values = rows.reshape(4, 3, -1)
    assert np.ptp(values, axis=(0, 2)).max() == 0
    assert values[0, :, 0].tolist() == pytest.approx([1, 0.1, -2])
    with pytest.raises(ValueError, match="three numbers"):
        Colours((0.5, 0.5), (0.5, 0.5, 0.5))
