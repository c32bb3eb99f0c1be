"""What a step of each stage draws: kinds of pictures, their sizes, and how many of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from valley.data.synthetic.cards import card_sample
from valley.data.synthetic.clips import clip
from valley.data.synthetic.easy import easy_sample
from valley.data.synthetic.pages import page
from valley.data.synthetic.pictures import unknown_picture
from valley.data.synthetic.sample import Sample, pick
from valley.data.synthetic.shapes import shape_scene
from valley.data.synthetic.sheets import glyph_sheet, shape_sheet
from valley.data.synthetic.words import word_strip

Grid = tuple[int, int]
Draw = Callable[[np.random.Generator, Grid], Sample]

STRIPS = ((1, 9), (1, 10), (1, 11), (2, 5), (2, 6), (2, 7))
PAGES = ((2, 5), (3, 4), (4, 3), (2, 6), (3, 3), (3, 7), (4, 5))
FRAMES = ((3, 3), (3, 3), (2, 4), (3, 4), (4, 3))

Plan = list[tuple[str, Draw, Grid, int]]
"""(kind, generator, grid, samples) for each group of a step."""


def _random_grid(rng: np.random.Generator, low: float, high: float, ratio: float) -> Grid:
    """Rows and columns for an area between `low` and `high` blocks, up to `ratio` to one."""
    area = rng.uniform(low, high)
    aspect = np.exp(rng.triangular(-np.log(ratio), 0.0, np.log(ratio)))
    rows = max(2, round(float(np.sqrt(area / aspect))))
    return rows, max(2, int(area / rows))


def _scene_grid(rng: np.random.Generator) -> Grid:
    """Three to nine blocks each way, as pictures of 84 to 252 pixels have them."""
    rows, columns = rng.integers(4, 7, 2) * rng.uniform(0.8, 1.5)
    return round(rows), round(columns)


def ramp(progress: float, begin: float, end: float) -> float:
    """0 before `begin`, 1 after `end`, a straight line between."""
    return min(1.0, max(0.0, (progress - begin) / (end - begin)))


def every_other(rng: np.random.Generator, plan: Plan) -> Plan:
    """Half of the groups at random, twice as large: as many samples for fewer, larger products."""
    chosen = sorted(int(i) for i in rng.permutation(len(plan))[: (len(plan) + 1) // 2])
    return [(*plan[i][:3], 2 * plan[i][3]) for i in chosen]


def plan_see(rng: np.random.Generator, progress: float) -> Plan:
    """What the tower learns from first, easy pictures before others; progress: 0 to 1.

    Sheets of single glyphs and shapes, then texts whose characters move together, then all kinds of
    pictures that are asked about. Text, which takes longest, has the largest share.
    """
    spread = ramp(progress, 0.0, 0.34)
    dense, real = ramp(progress, 0.1, 0.51), ramp(progress, 0.17, 0.6)
    glyphs, shapes = partial(glyph_sheet, spread=spread), partial(shape_sheet, spread=spread)
    lines = partial(page, tracking=12 * (1 - dense))
    plan: Plan = [
        ("sheet", glyphs, (3, 4), round(24 - 18 * dense)),
        ("sheet", shapes, (3, 3), round(12 - 9 * real)),
    ]
    if dense == 0:
        return plan
    plan.append(("page", lines, pick(rng, PAGES), round(4 + 10 * dense)))
    if real > 0:
        clips, card = partial(clip, frames=2), _random_grid(rng, 12, 45, 5.0)
        plan += [
            ("shape", shape_scene, _scene_grid(rng), round(3 + 2 * real)),
            ("clip", clips, pick(rng, FRAMES), round(2 + 2 * real)),
            ("easy", easy_sample, (3, 3), 5),
            ("unknown", unknown_picture, _random_grid(rng, 9, 24, 2.5), 3),
            ("card", card_sample, card, round(2 + 7 * real)),
            ("word", word_strip, pick(rng, STRIPS[:3]), round(2 + 6 * real)),
            ("word", word_strip, pick(rng, STRIPS[3:]), round(2 + 6 * real)),
        ]
    return every_other(rng, plan)


def plan_look(rng: np.random.Generator, progress: float) -> Plan:
    """Mostly text, which takes longest, on cards of all sizes."""
    small = _random_grid(rng, 12, 45, 5.0)
    card, cards = (small, 12) if rng.random() < 0.35 else (_random_grid(rng, 45, 96, 5.0), 6)
    plan: Plan = [
        ("sheet", partial(glyph_sheet, spread=1.0), (3, 4), 4),
        ("page", page, pick(rng, PAGES), 12),
        ("shape", shape_scene, _scene_grid(rng), 6),
        ("clip", partial(clip, frames=2), pick(rng, FRAMES), 4),
        ("easy", easy_sample, (3, 3), 3),
        ("unknown", unknown_picture, _random_grid(rng, 9, 30, 2.5), 3),
        ("card", card_sample, card, cards),
        ("word", word_strip, pick(rng, STRIPS[:3]), 10),
        ("word", word_strip, pick(rng, STRIPS[3:]), 10),
    ]
    return every_other(rng, plan)


def plan_tell(rng: np.random.Generator, progress: float) -> Plan:
    """What the decoder learns from, told what pictures show.

    Short words, two shapes and two frames first.
    """
    longest = 1 + round(8 * ramp(progress, 0.0, 0.2))
    easy = rng.random() > ramp(progress, 0.05, 0.35)
    number = 2 if easy else int(rng.integers(2, 6))
    frames = 2 if easy else pick(rng, (2, 4, 4, 8))
    scene = partial(shape_scene, questions=3, evenly=True)
    small = _random_grid(rng, 12, 45, 4.0)
    card, cards = (small, 6) if rng.random() < 0.6 else (_random_grid(rng, 45, 96, 5.0), 4)
    clips = partial(clip, frames=frames, questions=1, others=(0,) if easy else (0, 0, 1, 2))
    return [
        ("word", partial(word_strip, longest=longest), pick(rng, STRIPS), 16),
        ("shape", partial(scene, number=number), _scene_grid(rng), 15),
        ("shape", scene, _scene_grid(rng), 11),
        ("clip", clips, pick(rng, FRAMES), 48 // frames),
        ("easy", partial(easy_sample, questions=2), (3, 3), 20),
        ("unknown", unknown_picture, _random_grid(rng, 9, 24, 2.5), 1),
        ("card", partial(card_sample, questions=4), card, cards),
    ]


def plan_ask(rng: np.random.Generator, progress: float) -> Plan:
    """Pictures of all kinds with their questions."""
    frames = 8 if rng.random() < 0.4 else 4
    clips = partial(clip, frames=frames, questions=2, evenly=True)
    large = rng.random() < 0.6
    card = _random_grid(rng, 45, 96, 5.0) if large else _random_grid(rng, 12, 45, 5.0)
    return [
        ("word", word_strip, pick(rng, STRIPS[:3]), 20),
        ("word", word_strip, pick(rng, STRIPS[3:]), 14),
        ("easy", partial(easy_sample, questions=1), (3, 3), 10),
        ("shape", partial(shape_scene, questions=3, evenly=True), _scene_grid(rng), 16),
        ("unknown", unknown_picture, _random_grid(rng, 9, 30, 2.5), 4),
        ("clip", clips, pick(rng, FRAMES), 32 // frames),
        ("card", partial(card_sample, questions=5), card, 8 if large else 14),
        ("page", page, pick(rng, PAGES), 4),
    ]


def plan_settle(rng: np.random.Generator, progress: float) -> Plan:
    """Scenes and cards, which have most to gain; of the other kinds one a step."""
    scenes = partial(shape_scene, questions=3, evenly=True)
    small, large = _random_grid(rng, 12, 60, 5.0), _random_grid(rng, 64, 96, 5.0)
    card, cards = (small, 10) if rng.random() < 0.2 else (large, 7)
    clips = partial(clip, frames=4, questions=2, evenly=True)
    others: Plan = [
        ("word", word_strip, pick(rng, STRIPS[:3]), 20),
        ("word", word_strip, pick(rng, STRIPS[3:]), 20),
        ("clip", clips, pick(rng, FRAMES), 8),
        ("easy", partial(easy_sample, questions=1), (3, 3), 16),
        ("unknown", unknown_picture, _random_grid(rng, 9, 30, 2.5), 6),
    ]
    return [
        ("shape", scenes, _scene_grid(rng), 10),
        ("card", partial(card_sample, questions=5), card, cards),
        others[int(rng.integers(len(others)))],
    ]
