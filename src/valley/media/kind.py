"""Tell a picture from a clip by looking at it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from valley.media.images import read_header
from valley.media.limits import DEFAULT, Limits, reading
from valley.media.sources import open_binary, sniff_file
from valley.media.stills import ANIMATED, frame_sources
from valley.types import MediaSource


def media_kind(source: MediaSource, limits: Limits = DEFAULT) -> Literal["image", "video"]:
    """By content, not by name. A GIF, PNG or WebP of several frames, a folder of pictures, a
    sequence of frames and a 4-D array are videos. Raises MediaError for what is neither.
    """
    with reading(source):
        if frame_sources(source, limits) is not None:
            return "video"
        if isinstance(source, (Image.Image, np.ndarray)):
            return "image"
        with open_binary(source, limits) as file:
            found = sniff_file(source, file)
            if found.name not in ANIMATED:
                return "video" if found.kind == "video" else "image"
            with read_header(source, file, found.name, limits) as image:
                return "video" if getattr(image, "is_animated", False) else "image"
