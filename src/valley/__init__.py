"""Valley: ask, serve, train and evaluate the Valley and SAIL-VL vision-language models.

    import valley
    chat = valley.load("nano")
    print(chat.ask("What is the price?", "card.png").text)

Importing the package is light; torch is imported by `valley.load`, the Auto classes are
registered by `import valley.auto`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from valley.types import (
    Audio,
    Box,
    Budget,
    Image,
    Message,
    Reply,
    Request,
    Sample,
    Sampling,
    Text,
    Usage,
    Video,
)

if TYPE_CHECKING:
    from valley.chat import Chat

__version__ = "0.1.0"
__all__ = [
    "Audio",
    "Box",
    "Budget",
    "Image",
    "Message",
    "Reply",
    "Request",
    "Sample",
    "Sampling",
    "Text",
    "Usage",
    "Video",
    "load",
]


def load(
    model: str | os.PathLike[str] = "nano",
    device: str | None = None,
    dtype: Any = None,
    **options: Any,
) -> Chat:
    """A model ready to answer: `nano`, a checkpoint directory, or a hub name."""
    from valley.chat import load

    return load(model, device, dtype, **options)
