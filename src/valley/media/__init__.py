"""Open pictures and clips safely. Importing this package is light: names load on first use.

Untrusted input is the normal case. Every mistake in a source is a `MediaError` (a `ValueError`)
with one line: which source, what is wrong with it, what to do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from valley.media.limits import Limits, MediaError

if TYPE_CHECKING:
    from valley.media.images import image_size, open_image
    from valley.media.kind import media_kind
    from valley.media.sources import localize
    from valley.media.video import Clip, open_video, probe_video

__all__ = [
    "Clip",
    "Limits",
    "MediaError",
    "image_size",
    "localize",
    "media_kind",
    "open_image",
    "open_video",
    "probe_video",
]

_HOMES = {
    "Clip": "video",
    "image_size": "images",
    "localize": "sources",
    "media_kind": "kind",
    "open_image": "images",
    "open_video": "video",
    "probe_video": "video",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
