"""What a source may cost, and the one error every bad source ends in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valley.types import MediaSource, Size, describe_source


class MediaError(ValueError):
    """A picture or clip that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Limits:
    """Bounds on one source.

    `max_bytes`: file or download. `max_pixels`: one picture or frame. `max_duration`: seconds of
    a clip. `max_frames_decoded`: frames decoded in one pass over a clip. `url_timeout`: seconds
    without a byte; `url_deadline`: seconds for a whole download with its redirects (the system
    resolver keeps its own time); `url_ports`: the only ports of URLs, None for any. `media_root`:
    if set, only files below this folder are opened, symbolic links resolved, and relative names
    start there.
    """

    max_bytes: int = 100 * 2**20
    max_pixels: int = 64_000_000
    max_duration: float = 3600.0
    max_frames_decoded: int = 10_000
    allow_urls: bool = False
    url_timeout: float = 10.0
    url_deadline: float = 60.0
    max_redirects: int = 3
    url_ports: frozenset[int] | None = None
    media_root: Path | None = None


DEFAULT = Limits()


def name_of(source: MediaSource) -> str:
    """`describe_source` made fit for one line on any terminal, without passwords."""
    if isinstance(source, (str, os.PathLike)):
        source = os.fsdecode(source)
        if source[:5].lower() == "data:":
            source = "data:" + source[5:]
    text = re.sub(r"//[^/?#]*@", "//…@", describe_source(source))
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 200 else text[:199] + "…"


def refusal(source: MediaSource, problem: str) -> MediaError:
    """The error that says `problem` about `source`."""
    return MediaError(f"{name_of(source)}: {problem}")


@contextmanager
def reading(source: MediaSource) -> Iterator[None]:
    """Turn whatever a decoder raises on bad data into a `MediaError`."""
    try:
        yield
    except MediaError:
        raise
    except FileNotFoundError as error:
        raise refusal(source, "there is no such file: check the path") from error
    except PermissionError as error:
        raise refusal(source, "no permission to read it: check its owner and mode") from error
    except Exception as error:
        # Decoders answer bad data with any exception type there is (struct, zlib, Syntax, Index…).
        reason = reason_of(error)
        raise refusal(source, f"cannot be read ({reason}): check that it is whole") from error


def reason_of(error: Exception) -> str:
    """What an exception says, on one line."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return reason[:200] or type(error).__name__


def check_size(source: MediaSource, size: Size, limits: Limits) -> Size:
    """`size`, if a picture of that many pixels is allowed."""
    width, height = size
    if width < 1 or height < 1:
        raise refusal(source, f"a picture of {width}x{height} pixels is empty: give another")
    if width * height > limits.max_pixels:
        raise refusal(
            source,
            f"{width}x{height} pixels are above the limit of {limits.max_pixels}: scale it down",
        )
    return width, height
