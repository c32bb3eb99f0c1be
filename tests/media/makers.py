"""Small media files for tests, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import av
import numpy as np
from PIL import Image


def picture(format: str = "PNG", size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    """A colour gradient in the given format."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    pixels = np.stack([x * 9 % 256, y * 13 % 256, (x + y) * 5 % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **options)
    return out.getvalue()


def animation(format: str = "GIF", frames: int = 4, **options: object) -> bytes:
    """Frame i is filled with red 40 * i."""
    pictures = [Image.new("RGB", (12, 8), (40 * i, 0, 0)) for i in range(frames)]
    out = io.BytesIO()
    options = {"duration": 100, "lossless": True} | options
    pictures[0].save(out, format, save_all=True, append_images=pictures[1:], **options)
    return out.getvalue()


def clip(
    path: Path,
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
    rate: int = 10,
    rotation: int = 0,
    sound: bool = False,
    **options: str,
) -> Path:
    """A video whose frame i is grey 10 * i with a white top left corner.

    `frames`: 0 for no video track, -1 for a track without frames.
    """
    with av.open(str(path), "w", options=options) as container:
        if sound:
            track = container.add_stream("aac", rate=8000)
            for start in range(0, 8000, 1024):
                wave = np.zeros((1, 1024), np.float32)
                frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 8000, start
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        if frames:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.gop_size = 5
            if rotation:
                stream.set_display_rotation(rotation)
            container.start_encoding()
            for i in range(frames):
                pixels = np.full((size[1], size[0], 3), 10 * i % 250, np.uint8)
                pixels[: size[1] // 2, : size[0] // 2] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    return path


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of_size(width: int, height: int) -> bytes:
    """A well-formed header for that many pixels and next to no data."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + data + png_chunk(b"IEND", b"")


def bmp_of_size(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def tiff_of_size(width: int, height: int) -> bytes:
    """A TIFF whose tags claim that size: one strip of 4 bytes."""
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, 4),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 12)
        + bytes(4)
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )
