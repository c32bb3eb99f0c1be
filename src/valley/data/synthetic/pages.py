"""Small pages full of short texts: many glyphs for few patches."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic.fonts import load, pick_font
from valley.data.synthetic.sample import (
    BLOCK,
    NOTHING_ASKED,
    Marks,
    Sample,
    add_noise,
    to_grid,
)
from valley.data.synthetic.words import cased, ink_and_paper, print_colours, random_text, write


def page(
    rng: np.random.Generator, grid: tuple[int, int], tracking: float = 0.0, held_out: bool = False
) -> Sample:
    """Lines of unrelated words, numbers and letters; only their marks are learnt.

    grid: (rows, columns) of 28-pixel blocks; tracking: additional pixels between characters, and
    between lines.
    """
    width, height = grid[1] * BLOCK, grid[0] * BLOCK
    ink, paper = ink_and_paper(rng) if rng.random() < 0.25 else print_colours(rng)
    image = Image.new("RGB", (width, height), paper)
    canvas = ImageDraw.Draw(image), Marks((width, height), grid)
    y, first = float(rng.uniform(1, 8)), True
    while True:
        path, size = pick_font(rng, held_out), int(11 * 3.2 ** rng.random())
        top, bottom = load(path, size).getbbox("Ag$")[1::2]
        if y + bottom - top > height and not first:
            break
        _line(rng, canvas, (y, width), path, size, ink, tracking)
        y, first = y + bottom - top + float(rng.uniform(2, 8)) + tracking, False
    frame = to_grid(image, grid)
    if rng.random() < 0.3:
        frame = add_noise(rng, frame, float(rng.uniform(1, 8)))
    return Sample([frame], NOTHING_ASKED, canvas[1].array[None])


def _line(
    rng: np.random.Generator,
    canvas: tuple[ImageDraw.ImageDraw, Marks],
    place: tuple[float, int],
    path: str,
    size: int,
    ink: tuple[int, ...],
    tracking: float,
) -> None:
    """Writes texts from left to right until the line is full, at least one."""
    (y, width), font = place, load(path, size)
    x = float(rng.uniform(1, 10))
    tops = font.getbbox("Ag$")[1]
    for attempt in range(12):
        written = cased(rng, random_text(rng))
        left, top, right, _ = font.getbbox(written)
        if x + right - left + tracking * len(written) > width:
            if attempt == 0:
                written = written[:2]
            else:
                break
        # All texts of a line stand on one base line.
        write(*canvas, written, (x, y + top - tops), path, size, ink, tracking)
        x += right - left + tracking * len(written) + size * float(rng.uniform(0.3, 0.9))
