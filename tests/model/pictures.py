"""Small pictures for tests of models."""

from __future__ import annotations

import numpy as np
from PIL import Image


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Coarse noise that differs from seed to seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 14, width // 14, 3))
    return Image.fromarray(pixels.astype(np.uint8)).resize((width, height))
