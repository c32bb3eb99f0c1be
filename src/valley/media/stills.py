"""Clips made of pictures: animations (GIF, PNG, WebP), folders and sequences of frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image

from valley.media.images import image_size, open_image, read_header, to_rgb
from valley.media.limits import Limits, refusal
from valley.media.sources import folder_frames
from valley.types import MediaSource, Size

ANIMATED = frozenset(("GIF", "PNG", "WEBP"))
# Pixels of all frames of an animation together: some ten seconds of work. A GIF of a few bytes a
# frame can ask for a full canvas each time.
MAX_ANIMATION_PIXELS = 2**31


class Reel(Protocol):
    """A clip before frames are chosen. `timestamps`: seconds of each frame, rising from 0."""

    timestamps: tuple[float, ...]
    duration: float
    size: Size

    def read(self, wanted: Sequence[int]) -> list[Image.Image]:
        """The frames of these numbers, which rise without repeats, as RGB."""
        ...


def frame_sources(source: MediaSource, limits: Limits) -> Sequence[MediaSource] | None:
    """The frames of a folder, a sequence or an array (N, H, W, C); None for other sources."""
    if isinstance(source, np.ndarray):
        return list(source) if source.ndim == 4 else None
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes, bytearray, memoryview)):
        return source
    return folder_frames(source, limits)


class Stills:
    """Separate pictures of one size. They carry no times: one frame a second is assumed."""

    def __init__(self, source: MediaSource, frames: Sequence[MediaSource], limits: Limits) -> None:
        self._frames, self._limits = frames, limits
        if not frames:
            raise refusal(source, "has no frames: give at least one")
        check_count(source, len(frames), limits)
        self.size = image_size(frames[0], limits)
        for number, frame in enumerate(frames):
            size = image_size(frame, limits)
            if size != self.size:
                raise refusal(
                    source,
                    f"frame {number} is {size[0]}x{size[1]}, the first {self.size[0]}x"
                    f"{self.size[1]}: bring all frames to one size",
                )
        self.timestamps = tuple(float(number) for number in range(len(frames)))
        self.duration = float(len(frames))

    def read(self, wanted: Sequence[int]) -> list[Image.Image]:
        return [open_image(self._frames[number], self._limits) for number in wanted]


class Animation:
    """A GIF, PNG or WebP file with frames that Pillow composes."""

    def __init__(self, source: MediaSource, file: BinaryIO, format: str, limits: Limits) -> None:
        self._source, self._limits = source, limits
        self._image = read_header(source, file, format, limits)
        self.size = self._image.size
        starts, clock = [], 0.0
        for image in self._play():
            starts.append(clock)
            clock += _seconds(image)
        self.timestamps, self.duration = tuple(starts), clock

    def read(self, wanted: Sequence[int]) -> list[Image.Image]:
        chosen = set(wanted)
        frames = []
        for number, image in enumerate(self._play()):
            if number in chosen:
                frames.append(to_rgb(image))
            if number == wanted[-1]:
                break
        return frames

    def _play(self) -> Iterator[Image.Image]:
        """Every frame in turn, in the same image object."""
        for number in range(self._limits.max_frames_decoded + 1):
            try:
                self._image.seek(number)
            except EOFError:
                return
            check_count(self._source, number + 1, self._limits)
            if (number + 1) * self.size[0] * self.size[1] > MAX_ANIMATION_PIXELS:
                raise refusal(self._source, "the animation is too long for its size: shorten it")
            if self._image.size != self.size:
                raise refusal(self._source, f"frame {number} leaves the canvas: get another copy")
            self._image.load()
            yield self._image


def check_count(source: MediaSource, count: int, limits: Limits) -> None:
    """Refuse a clip that needs more frames than one pass may look at."""
    if count > limits.max_frames_decoded:
        raise refusal(
            source, f"more than {limits.max_frames_decoded} frames to decode, the limit: shorten it"
        )


def _seconds(image: Image.Image) -> float:
    """How long this frame is shown. Files that say nothing or 0 get the browsers' 0.1 s."""
    duration = float(image.info.get("duration") or 0)
    return duration / 1000 if math.isfinite(duration) and duration > 0 else 0.1
