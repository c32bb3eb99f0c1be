"""`load_image` of the SAIL-VL and InternVL model cards, without torchvision."""

from __future__ import annotations

import torch

from valley.dynamic_tiling import DynamicTiling
from valley.media.images import open_as_stored
from valley.pixels import cut_grids
from valley.types import Budget, MediaSource


def load_image(
    image_file: MediaSource,
    input_size: int = 448,
    max_num: int = 10,
    use_thumbnail: bool = True,
    msac: bool = False,
) -> torch.Tensor:
    """A picture as tiles `[tiles, 3, S, S]` in float32, for `model.chat`.

    `max_num`: tiles besides the thumbnail. `msac`: cut at two scales, as SAIL-VL is evaluated.
    Pixels are those of the published code: EXIF orientation and transparency are not honoured.
    Raises MediaError, a ValueError, for what is no picture.
    """
    picture = open_as_stored(image_file)
    policy = DynamicTiling("vision", side=input_size, thumbnail=use_thumbnail)
    plan = policy.plan(picture.size, Budget(max_tiles=max_num, scales=2 if msac else 1))
    assert plan.tile_grids is not None
    return torch.from_numpy(cut_grids(picture, plan.tile_grids))
