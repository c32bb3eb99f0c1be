"""Sheets with one glyph or shape in every block: the first pictures that a tower learns from.

A tower that starts with words and scenes, where neighbours cut into each other, learns nothing for
a long time; from these it learns to tell glyphs apart within minutes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic.fonts import load, pick_font
from valley.data.synthetic.sample import (
    BLOCK,
    CHARS,
    COLOURS,
    KINDS,
    NOTHING_ASKED,
    Marks,
    Sample,
    jitter,
    pick,
    to_grid,
)
from valley.data.synthetic.shapes import draw_shape
from valley.data.synthetic.words import ink_and_paper, print_colours, write


def glyph_sheet(rng: np.random.Generator, grid: tuple[int, int], spread: float) -> Sample:
    """One character in every block.

    grid: (rows, columns) of 28-pixel blocks; spread, 0 to 1: how far characters stray from the
    middle of their block and how much their sizes and colours differ.
    """
    ink, paper = ink_and_paper(rng) if rng.random() < 0.3 * spread else print_colours(rng)
    size = (grid[1] * BLOCK, grid[0] * BLOCK)
    image, marks = Image.new("RGB", size, paper), Marks(size, grid)
    stray = 4 + 10 * spread
    for row, column in np.ndindex(grid):
        shown = str(pick(rng, CHARS))
        shown = shown.upper() if rng.random() < 0.3 else shown
        path = pick_font(rng)
        points = int(rng.integers(round(16 - 5 * spread), round(30 + 6 * spread)))
        left, top, right, _ = load(path, points).getbbox(shown)
        highest, lowest = load(path, points).getbbox("Ag")[1::2]
        # Characters hang on a base line, as in words.
        x = (column + 0.5) * BLOCK - (right - left) / 2 + rng.uniform(-stray, stray)
        y = (row + 0.5) * BLOCK - (lowest - highest) / 2 + rng.uniform(-stray, stray)
        write(ImageDraw.Draw(image), marks, shown, (x, y + top - highest), path, points, ink)
    return Sample([to_grid(image, grid)], NOTHING_ASKED, marks.array[None])


def shape_sheet(rng: np.random.Generator, grid: tuple[int, int], spread: float) -> Sample:
    """A shape in most blocks; `spread` as in `glyph_sheet`."""
    back = str(pick(rng, ("white", "black", "gray", *COLOURS)))
    size = (grid[1] * BLOCK, grid[0] * BLOCK)
    image = Image.new("RGB", size, jitter(rng, COLOURS[back], 8))
    marks = Marks(size, grid)
    usable = [name for name in COLOURS if name != back and (back, name) != ("yellow", "white")]
    stray = 3 + 6 * spread
    for row, column in np.ndindex(grid):
        if rng.random() < 0.2:
            continue
        kind, colour = str(pick(rng, KINDS)), str(pick(rng, usable))
        x, y = (np.array([column, row]) + 0.5) * BLOCK + rng.uniform(-stray, stray, 2)
        r, turn = float(rng.uniform(10 - 3 * spread, 13)), float(rng.uniform(-0.25, 0.25))
        fill = jitter(rng, COLOURS[colour], 14)
        draw_shape(ImageDraw.Draw(image), kind, (x, y), r, fill, turn)
        marks.shape(kind, colour, x, y)
    return Sample([to_grid(image, grid)], NOTHING_ASKED, marks.array[None])
