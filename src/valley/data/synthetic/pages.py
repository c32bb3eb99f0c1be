"""Small pages full of short texts: many glyphs for few patches."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic.fonts import load, pick_font
from valley.data.synthetic.phrases import ask
from valley.data.synthetic.sample import BLOCK, Marks, Sample, add_noise, to_grid
from valley.data.synthetic.words import cased, ink_and_paper, random_text, write

# These wordings are not among the tokenizer's template words: the model spells them.
FIRST = ("What is the first word?", "Read the first word.")
LAST = ("What is the last word?", "Read the last word.")


def page(rng: np.random.Generator, grid: tuple[int, int], held_out: bool = False) -> Sample:
    """Lines of unrelated words, numbers and letters; asks for the first and the last.

    grid: (rows, columns) of 28-pixel blocks.
    """
    width, height = grid[1] * BLOCK, grid[0] * BLOCK
    ink, paper = ink_and_paper(rng) if rng.random() < 0.25 else _print_colours(rng)
    image = Image.new("RGB", (width, height), paper)
    draw, marks = ImageDraw.Draw(image), Marks((width, height), grid)
    path = pick_font(rng, held_out)
    shown: list[str] = []
    y = float(rng.uniform(1, 8))
    while True:
        size = int(rng.integers(11, 25))
        top, bottom = load(path, size).getbbox("Ag$")[1::2]
        if y + bottom - top > height:
            break
        _line(rng, draw, marks, (y, width), path, size, ink, shown)
        y += bottom - top + float(rng.uniform(2, 8))
    frame = to_grid(image, grid)
    if rng.random() < 0.3:
        frame = add_noise(rng, frame, float(rng.uniform(1, 8)))
    dialog = [(ask(rng, FIRST), shown[0]), (ask(rng, LAST), shown[-1])]
    return Sample([frame], dialog, marks.array[None])


def _print_colours(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ink and paper as most print has them: dark on light, now and then light on dark."""
    dark = tuple(int(v) for v in rng.integers(0, 60, 3))
    light = tuple(int(v) for v in rng.integers(215, 256, 3))
    return (dark, light) if rng.random() < 0.8 else (light, dark)


def _line(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    marks: Marks,
    place: tuple[float, int],
    path: str,
    size: int,
    ink: tuple[int, ...],
    shown: list[str],
) -> None:
    """Writes texts from left to right until the line is full, at least one."""
    (y, width), font = place, load(path, size)
    x = float(rng.uniform(1, 10))
    tops = font.getbbox("Ag$")[1]
    for attempt in range(12):
        text = random_text(rng)
        written = cased(rng, text)
        left, top, right, _ = font.getbbox(written)
        if x + right - left > width:
            if attempt == 0:
                written = text = text[:2]
            else:
                break
        # All texts of a line stand on one base line.
        write(draw, marks, written, (x, y + top - tops), path, size, ink)
        shown.append(text)
        x += right - left + size * float(rng.uniform(0.3, 0.9))
