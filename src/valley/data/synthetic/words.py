"""Strips with one written word or number."""

from __future__ import annotations

import hashlib
import string
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from valley.data.synthetic import phrases
from valley.data.synthetic.fonts import load, pick_font
from valley.data.synthetic.sample import (
    BLOCK,
    LONGEST,
    SPELLED,
    Marks,
    Sample,
    Turn,
    add_noise,
    to_grid,
)

WORD_LIST = Path("/usr/share/dict/american-english")
"""Word list of Debian's `wamerican` (SCOWL, public domain and BSD-like)."""

_RESERVED = {"user", "assistant"}


@cache
def vocabulary(held_out: bool = False) -> tuple[str, ...]:
    """Lower-case words of 3 to 8 letters; a tenth, chosen by hash, is held out."""
    words = {w for w in WORD_LIST.read_text().split() if w.isascii() and w.isalpha()}
    kept = sorted({w for w in words if w.islower() and 3 <= len(w) <= 8} - _RESERVED)
    return tuple(w for w in kept if (hashlib.md5(w.encode()).digest()[0] < 26) == held_out)


def random_text(rng: np.random.Generator, held_out: bool = False) -> str:
    """A dictionary word, or in training also random letters, digits, a price or a percentage."""
    words = vocabulary(held_out)
    roll = 0.0 if held_out else rng.random()
    if roll < 0.5:
        return words[int(rng.integers(len(words)))]
    if roll < 0.75:
        length = int(rng.integers(1, 9))
        return "".join(rng.choice(list(string.ascii_lowercase), length))
    if roll < 0.85:
        return "".join(rng.choice(list(string.digits), int(rng.integers(1, 6))))
    if roll < 0.95:
        return f"${int(10 ** rng.uniform(0, 3.3))}.{int(rng.integers(100)):02d}"
    return f"{int(rng.integers(1, 100))}%"


def cased(rng: np.random.Generator, text: str) -> str:
    """The text in lower case, with a capital, or in capitals."""
    return (text, text.capitalize(), text.upper())[int(rng.integers(3))]


def ink_and_paper(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two colours whose luminance differs by at least 90 of 255."""
    weights = np.array([0.299, 0.587, 0.114])
    while True:
        paper = rng.integers(0, 256, 3)
        if rng.random() < 0.5:
            paper = 255 - (paper // 8)
        ink = rng.integers(0, 256, 3)
        if rng.random() < 0.5:
            ink = ink // 6
        if abs(float(weights @ (paper - ink))) > 90:
            return tuple(int(v) for v in ink), tuple(int(v) for v in paper)


def print_colours(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ink and paper as most print has them: dark on light, now and then light on dark."""
    dark = tuple(int(v) for v in rng.integers(0, 60, 3))
    light = tuple(int(v) for v in rng.integers(215, 256, 3))
    return (dark, light) if rng.random() < 0.8 else (light, dark)


def write(
    draw: ImageDraw.ImageDraw,
    marks: Marks,
    text: str,
    xy: tuple[float, float],
    path: str,
    size: int,
    fill: tuple[int, ...],
    tracking: float = 0.0,
    role: str = "word",
    answer: str | None = None,
) -> tuple[float, float, float, float]:
    """Draws one line with its ink's top left at `xy`, marks its glyphs, returns its ink box.

    tracking: pixels between characters besides the font's own; answer: the part of the text that
    has the role, if it is not the whole.
    """
    font = load(path, size)
    left, top, right, bottom = font.getbbox(text)
    x, y = xy[0] - left, xy[1] - top
    if not tracking:
        draw.text((x, y), text, font=font, fill=fill)
    middle = y + (top + bottom) / 2
    before = 0.0
    spelling = spelled(text, role, answer)
    for index, char in enumerate(text):
        after = font.getlength(text[: index + 1])
        shift = x + index * tracking
        if tracking:
            draw.text((shift + before, y), char, font=font, fill=fill)
        marks.glyph(char, shift + (before + after) / 2, middle, *spelling[index])
        before = after
    return x + left, y + top, x + right + tracking * (len(text) - 1), y + bottom


def spelled(text: str, role: str, answer: str | None = None) -> list[tuple[int, str]]:
    """The number in its word (0: not to be spelled) and the role of each character."""
    start = text.lower().index(answer.lower()) if answer else 0
    end = start + len(answer or text)
    found: list[tuple[int, str]] = []
    order = 0
    for index, char in enumerate(text):
        order = 0 if char == " " or index == start else order
        if char == " " and role == "title":
            role = "second"
        order += char != " "
        if not start <= index < end:
            found.append((0, "other"))
        else:
            found.append((order if role in SPELLED and order <= LONGEST else 0, role))
    return found


def fitting_size(
    path: str, text: str, width: float, height: float, largest: int, smallest: int = 8
) -> int:
    """The largest font size at which the text's ink fits the box; at least `smallest`."""
    left, top, right, bottom = load(path, largest).getbbox(text)
    shrink = min(1.0, width / max(1, right - left), height / max(1, bottom - top))
    return max(smallest, int(largest * shrink))


def word_strip(
    rng: np.random.Generator,
    grid: tuple[int, int],
    held_out: bool = False,
    scale: float | None = None,
    longest: int = LONGEST,
) -> Sample:
    """One word on plain paper, as large as 60 to 100 % of what the strip holds.

    grid: (rows, columns) of 28-pixel blocks; scale: drawing pixels for each final pixel; longest:
    characters after which the text is cut.
    """
    scale = scale or (1.0 if rng.random() < 0.7 else float(rng.uniform(0.8, 2.0)))
    width, height = round(grid[1] * BLOCK * scale), round(grid[0] * BLOCK * scale)
    ink, paper = ink_and_paper(rng)
    image = Image.new("RGB", (width, height), paper)
    marks = Marks((width, height), grid)
    text = random_text(rng, held_out)[:longest]
    shown = cased(rng, text)
    path = pick_font(rng, held_out)
    fitting = fitting_size(path, shown, width * 0.96, height * 0.92, round(2 * height))
    size = round(fitting * rng.uniform(0.6, 1.0))
    box = load(path, size).getbbox(shown)
    free = width - (box[2] - box[0]), height - (box[3] - box[1])
    xy = (max(0, free[0]) * rng.random(), max(0, free[1]) * rng.random())
    write(ImageDraw.Draw(image), marks, shown, xy, path, size, ink)
    frame = _disturb(rng, image, grid)
    dialog = [Turn(phrases.ask(rng, phrases.WORD), text)]
    if rng.random() < 0.03:
        dialog = [Turn(phrases.ask(rng, phrases.SCENE), "A word.")]
    return Sample([frame], dialog, marks.array[None])


def _disturb(rng: np.random.Generator, image: Image.Image, grid: tuple[int, int]) -> np.ndarray:
    if rng.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9))))
    frame = to_grid(image, grid)
    if rng.random() < 0.3:
        frame = add_noise(rng, frame, float(rng.uniform(1, 10)))
    return frame
