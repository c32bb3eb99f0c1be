"""Generators without their Debian packages: one embedded font, a few words and plain pictures."""

from __future__ import annotations

import pytest
from PIL import Image, ImageFont

from valley.data.synthetic import cards, fonts, pages, pictures, words

WORDS = ("lamp", "chair", "river", "stone", "candle", "window", "paper", "mirror")


@pytest.fixture(autouse=True)
def small_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: str, size: int) -> ImageFont.FreeTypeFont:
        return ImageFont.load_default(size)

    for module in (fonts, words, cards, pages):
        if hasattr(module, "load"):
            monkeypatch.setattr(module, "load", load)
        if hasattr(module, "pick_font"):
            monkeypatch.setattr(module, "pick_font", lambda rng, held_out=False: "embedded")
        if hasattr(module, "vocabulary"):
            monkeypatch.setattr(module, "vocabulary", lambda held_out=False: WORDS)
    plain = tuple(Image.new("RGB", (300, 200), colour) for colour in ("olive", "navy", "tan"))
    monkeypatch.setattr(pictures, "wallpapers", lambda: plain)
    monkeypatch.setattr(
        pictures, "clipart", lambda number=500: tuple(p.convert("RGBA") for p in plain)
    )
