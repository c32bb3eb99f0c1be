"""Name a format from the first bytes. File names and content types are never believed."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

HEAD = 512  # bytes that `sniff` wants to see


class Format(NamedTuple):
    """`name` is Pillow's format of an image, FFmpeg's demuxer of a video, else plain words."""

    kind: Literal["image", "video", "other"]
    name: str


# The first match counts. What is not listed is not opened: every further decoder is one more that
# hostile files can reach. The last kind is there to say what a file is instead.
_PATTERNS: dict[Literal["image", "video", "other"], dict[str, bytes]] = {
    "image": {
        "JPEG": rb"\xff\xd8\xff",
        "PNG": rb"\x89PNG\r\n\x1a\n",
        "GIF": rb"GIF8[79]a",
        "WEBP": rb"RIFF....WEBP",
        "BMP": rb"BM",
        "TIFF": rb"II\*\x00|MM\x00\*",
    },
    "other": {
        "a HEIC or AVIF picture": rb"....ftyp(avi[fs]|hei[cx]|mif1|msf1)",
        "a sound file": rb"....ftypM4A|RIFF....WAVE|ID3|OggS|fLaC",
        "a PDF document": rb"%PDF",
        "a ZIP archive": rb"PK\x03\x04",
        "a PostScript file": rb"%!PS",
        "a playlist": rb"\s*(#EXTM3U|ffconcat)",
        "an SVG drawing": rb"\s*<svg",
        "an HTML page": rb"\s*<(!doctype )?html",
        "an XML or SVG file": rb"\s*<\?xml",
    },
    "video": {
        "mov": rb"....(ftyp|moov|mdat|styp|wide|free|skip)",
        "matroska": rb"\x1aE\xdf\xa3",
        "avi": rb"RIFF....AVI ",
        "flv": rb"FLV\x01",
        "mpeg": rb"\x00\x00\x01\xba",
        "mpegts": rb"G.{187}G",
        "asf": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    },
}
_FORMATS = [
    (re.compile(pattern, re.DOTALL | (re.IGNORECASE if kind == "other" else 0)), Format(kind, name))
    for kind, patterns in _PATTERNS.items()
    for name, pattern in patterns.items()
]


def sniff(head: bytes) -> Format:
    """The format of a file that starts with `head` (`HEAD` bytes are enough)."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    unknown = Format("other", "of an unknown format")
    return next((found for pattern, found in _FORMATS if pattern.match(text)), unknown)
