"""From a picture to the numbers a tower reads. NumPy and PIL only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from valley.geometry import View

#: Mean and standard deviation per RGB channel of CLIP's training pictures, which Qwen2-VL keeps.
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
#: `[256, 3]`: the normalised value of every byte in every channel.
_TABLE = ((np.arange(256) * (1 / 255)).astype(np.float32)[:, None] - CLIP_MEAN) / CLIP_STD


def pack_patches(picture: Image.Image, view: View, temporal: int = 2) -> NDArray[np.float32]:
    """Resize as the view says and cut into patches: `[rows * columns, 3 * temporal * y * x]`.

    Patches are ordered in blocks of `view.block` x `view.block`, row-major over blocks and inside
    one; a row holds channel, time, y, x. A still picture fills every temporal slot.
    """
    for size in view.resizes:
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BICUBIC)
    values = _TABLE[np.asarray(picture), np.arange(3)]
    (columns, rows), block = view.grid, view.block
    y, x = view.size[1] // rows, view.size[0] // columns
    blocks = values.reshape(rows // block, block, y, columns // block, block, x, 3)
    blocks = blocks.transpose(0, 3, 1, 4, 6, 2, 5)  # block row, block column, in-block, C, y, x
    patches = blocks.reshape(rows * columns, 3, 1, y * x)
    return np.repeat(patches, temporal, axis=2).reshape(rows * columns, -1)
