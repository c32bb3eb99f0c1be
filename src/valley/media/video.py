"""Clips: times of all frames first, then only the chosen frames are kept.

FFmpeg sees a file object, one named demuxer and a short list of decoders; whatever else a file
asks for (playlists, other files, the network) is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from operator import index
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from valley.media.limits import DEFAULT, Limits, check_size, name_of, reading, refusal
from valley.media.sources import open_binary, sniff_file
from valley.media.stills import ANIMATED, Animation, Reel, Stills, check_count, frame_sources
from valley.types import MediaSource, Size

Pick = Callable[[Sequence[float], Size], Sequence[int]]

# fmt: off
CODECS = frozenset((
    "av1", "cinepak", "dvvideo", "ffv1", "flv", "gif", "h263", "h264", "hevc", "libdav1d", "mjpeg",
    "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "msmpeg4v3", "png", "prores",
    "rawvideo", "vc1", "vp6f", "vp8", "vp9", "wmv1", "wmv2", "wmv3",
))
# fmt: on
MAX_PACKETS = 1_000_000  # an hour at 240 frames a second has 864,000
_QUARTER_TURNS = (  # counter-clockwise, as FFmpeg counts
    None,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
)


@dataclass(frozen=True)
class Clip:
    """Chosen frames (RGB, one size) with their times in seconds from the first frame of the clip.

    `duration`: seconds of the whole clip; `total_frames`: how many it has.
    """

    frames: tuple[Image.Image, ...]
    timestamps: tuple[float, ...]
    source: str
    duration: float
    total_frames: int


def open_video(source: MediaSource, pick: Pick, limits: Limits = DEFAULT) -> Clip:
    """Frames of a clip, chosen by `pick(seconds of every frame, (width, height))`.

    Only the frames picked are held in memory. Rotation is applied, the pixel aspect ratio is not.
    Frames of folders and sequences carry no times and count as one a second.
    Raises MediaError; ValueError if `pick` returns numbers that are not frames.
    """
    with ExitStack() as stack:
        with reading(source):
            reel = stack.enter_context(_reel(source, limits))
        total = len(reel.timestamps)
        # Outside `reading`: what `pick` has to say is not about the file.
        chosen = [index(number) for number in pick(reel.timestamps, reel.size)]
        if not chosen or min(chosen) < 0 or max(chosen) >= total:
            raise refusal(source, f"frames {chosen[:8]} were chosen of {total}: choose from them")
        wanted = sorted(set(chosen))
        with reading(source):
            frames = dict(zip(wanted, reel.read(wanted), strict=True))
        return Clip(
            tuple(frames[number] for number in chosen),
            tuple(reel.timestamps[number] for number in chosen),
            name_of(source),
            reel.duration,
            total,
        )


def probe_video(source: MediaSource, limits: Limits = DEFAULT) -> tuple[tuple[float, ...], Size]:
    """(seconds of every frame, (width, height)), mostly without decoding. Raises MediaError."""
    with reading(source), _reel(source, limits) as reel:
        return reel.timestamps, reel.size


@contextmanager
def _reel(source: MediaSource, limits: Limits) -> Iterator[Reel]:
    frames = frame_sources(source, limits)
    if frames is not None:
        yield Stills(source, frames, limits)
        return
    single = refusal(source, "is a single picture, not a clip: pass it as an image")
    if isinstance(source, (Image.Image, np.ndarray)):
        raise single
    with open_binary(source, limits) as file:
        found = sniff_file(source, file)
        if found.kind == "image" and found.name not in ANIMATED:
            raise single
        cinema = Film if found.kind == "video" else Animation
        reel = cinema(source, file, found.name, limits)
        if found.kind == "image" and len(reel.timestamps) == 1:
            raise single
        if reel.duration > limits.max_duration:
            length = f"{reel.duration:.1f} s, more than the limit of {limits.max_duration:g} s"
            raise refusal(source, f"lasts {length}: cut it")
        yield reel


class _SeekMissed(Exception):
    """After a seek the decoder did not deliver the frame that the packets promised."""


class Film:
    """A video file. Frames are known by their presentation stamp, or by number where stamps lie."""

    def __init__(self, source: MediaSource, file: BinaryIO, demuxer: str, limits: Limits) -> None:
        self._source, self._file, self._demuxer = source, file, demuxer
        self._limits = limits
        self._keys: list[int] = []
        # AVI stores no presentation times: what FFmpeg reports there is the order of decoding.
        self._numbered = demuxer == "avi" or not self._read_stamps()
        if self._numbered:
            self._count_frames()
        if not self._stamps:
            raise refusal(source, "holds no frames: check that it was written completely")
        with self._open() as (container, stream):
            first = next((frame for _, frame in self._decode(container, stream)), None)
            seconds = stream.time_base or Fraction(1)
            tick = 1 / (stream.average_rate or Fraction(25)) if self._numbered else seconds
        if first is None:
            raise refusal(source, "holds no frame that can be decoded: check that it is whole")
        self._coded = check_size(source, (first.width, first.height), limits)
        turns = round(first.rotation / 90) % 4
        self._turn = _QUARTER_TURNS[turns]
        self.size = self._coded[::-1] if turns % 2 else self._coded
        self.timestamps = tuple(float((s - self._stamps[0]) * tick) for s in self._stamps)
        gaps = max(1, len(self._stamps) - 1)
        self.duration = self.timestamps[-1] * (gaps + 1) / gaps or float(tick)

    def read(self, wanted: Sequence[int]) -> list[Image.Image]:
        stamps = [self._stamps[number] for number in wanted]
        if not self._numbered:
            try:
                return self._collect(self._by_key(stamps), exact=True)
            except (_SeekMissed, av.FFmpegError):
                pass  # some files cannot be entered in the middle: play from the start
        return self._collect([(None, stamps)], exact=False)

    @contextmanager
    def _open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """A fresh demuxer at the start of the file."""
        self._file.seek(0)
        self._decoded = 0
        # Both locks on one door: no protocol may be used, and no second file may be opened.
        options = {"protocol_whitelist": "none", "max_pixels": str(self._limits.max_pixels)}
        with av.open(
            self._file, "r", format=self._demuxer, options=options, io_open=_refuse_file
        ) as container:
            streams = [s for s in container.streams.video if not _is_cover(s)]
            if not streams:
                raise refusal(self._source, "holds no video: pass a file with a video track")
            context = streams[0].codec_context
            if context is None or context.name not in CODECS:
                name = context.name if context is not None else "unknown"
                raise refusal(self._source, f"codec {name} is not supported: convert it to H.264")
            if not context.width:  # FFmpeg leaves it out also when it is above `max_pixels`
                limit = self._limits.max_pixels
                raise refusal(
                    self._source, f"no frame size, or one above the limit of {limit} pixels"
                )
            check_size(self._source, (context.width, context.height), self._limits)
            context.options = {"max_pixels": str(self._limits.max_pixels)}
            context.thread_type = "AUTO"
            yield container, streams[0]

    def _read_stamps(self) -> bool:
        """Fill in stamps and key frames from the packets; False if a packet has no stamp."""
        stamps = set()
        with self._open() as (container, stream):
            for count, packet in enumerate(container.demux(stream)):
                if count > MAX_PACKETS:
                    raise refusal(self._source, f"has more than {MAX_PACKETS} packets: cut it")
                if packet.is_corrupt:
                    raise refusal(self._source, "is cut short or damaged: get a whole copy")
                if packet.size == 0 or packet.is_discard:
                    continue  # the empty packet at the end; frames an edit list hides
                if packet.pts is None:
                    return False
                stamps.add(packet.pts)
                if packet.is_keyframe:
                    self._keys.append(packet.pts)
        self._keys.sort()
        self._stamps = sorted(stamps)
        return True

    def _count_frames(self) -> None:
        with self._open() as (container, stream):
            self._stamps = [stamp for stamp, _ in self._decode(container, stream)]

    def _decode(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[int, VideoFrame]]:
        """(stamp or number, frame) from where the container stands."""
        for frame in container.decode(stream):
            self._decoded += 1
            check_count(self._source, self._decoded, self._limits)
            if self._numbered:
                yield self._decoded - 1, frame
            elif frame.pts is not None:
                yield frame.pts, frame

    def _by_key(self, stamps: list[int]) -> list[tuple[int | None, list[int]]]:
        """Stamps grouped by the key frame from which they can be decoded."""

        def key_of(stamp: int) -> int | None:
            place = bisect_right(self._keys, stamp)
            return self._keys[place - 1] if place > 1 else None

        return [(key, list(group)) for key, group in groupby(stamps, key_of)]

    def _collect(
        self, groups: list[tuple[int | None, list[int]]], exact: bool
    ) -> list[Image.Image]:
        """One pass: seek to each key frame (None: stay at the start) and take what is wanted.

        Without `exact`, a stamp that yields no picture (a hidden frame) gets the next picture
        shown, at the end of the clip the last one.
        """
        taken: list[Image.Image] = []
        with self._open() as (container, stream):
            for key, wanted in groups:
                if key is not None:
                    container.seek(key, stream=stream)
                waiting, last = list(wanted), None
                for stamp, last in self._decode(container, stream):
                    if exact and stamp > waiting[0]:
                        raise _SeekMissed
                    while waiting and stamp >= waiting[0]:
                        taken.append(self._picture(last, exact))
                        waiting.pop(0)
                    if not waiting:
                        break
                if waiting and exact:
                    raise _SeekMissed
                taken += [self._picture(last, exact) for _ in waiting]
        return taken

    def _picture(self, frame: VideoFrame | None, exact: bool) -> Image.Image:
        if frame is None or frame.is_corrupt:
            if exact:
                raise _SeekMissed
            raise refusal(self._source, "a chosen frame is damaged: get a whole copy")
        # Streams may change size on the way; a clip has one.
        width, height = self._coded
        picture = frame.reformat(width=width, height=height, format="rgb24").to_image()
        return picture if self._turn is None else picture.transpose(self._turn)


def _is_cover(stream: VideoStream) -> bool:
    """Sound files carry their cover as a video stream of one picture."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _refuse_file(url: str, flags: int, options: Any) -> Any:
    raise PermissionError("the file refers to another file")
