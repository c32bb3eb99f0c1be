"""Short clips of shapes, one of which may move."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic import phrases
from valley.data.synthetic.phrases import DECLINE, ask
from valley.data.synthetic.sample import (
    BLOCK,
    COLOURS,
    KINDS,
    Marks,
    Sample,
    Turn,
    Vector,
    add_noise,
    jitter,
    pick,
    to_grid,
)
from valley.data.synthetic.shapes import draw_shape

STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def _path(
    rng: np.random.Generator, size: tuple[int, int], r: float, direction: str | None, frames: int
) -> list[tuple[float, float]]:
    """Centres, one for each frame; a moving shape covers 25 to 90 % of the room along its axis."""
    low, high = np.array([r + 1, r + 1]), np.array([size[0] - r - 1, size[1] - r - 1])
    start = low + (high - low) * rng.random(2)
    if direction is None:
        return [tuple(start)] * frames
    step = np.array(STEPS[direction])
    axis = 0 if step[0] else 1
    room = high[axis] - low[axis]
    reach = room * rng.uniform(0.25, 0.9)
    first = low[axis] + (room - reach) * rng.random()
    ends = (first, first + reach) if step[axis] > 0 else (first + reach, first)
    points = np.tile(start, (frames, 1))
    points[:, axis] = np.linspace(*ends, frames)
    points[:, 1 - axis] += np.linspace(0, rng.uniform(-0.12, 0.12) * reach, frames)
    return [tuple(p) for p in np.clip(points, low, high)]


def clip(
    rng: np.random.Generator,
    grid: tuple[int, int],
    frames: int,
    questions: int = 6,
    others: tuple[int, ...] = (0, 0, 1, 2),
    evenly: bool = False,
) -> Sample:
    """`frames` pictures: one shape that moves or stays, and some that stay.

    others: how many stay, each as likely. evenly: what moves is asked as early as where to.
    """
    width, height = grid[1] * BLOCK, grid[0] * BLOCK
    names = list(COLOURS)
    back = pick(rng, ("white", "black", "gray", *names))
    usable = [n for n in names if n != back and (back, n) != ("yellow", "white")]
    paper = jitter(rng, COLOURS[back], 8)
    direction = pick(rng, list(STEPS)) if rng.random() < 0.75 else None
    things = []
    for index in range(1 + int(rng.choice(others))):
        r = min(width, height) * float(rng.uniform(0.1, 0.2))
        colour = pick(rng, usable)
        usable = [n for n in usable if n != colour]
        path = _path(rng, (width, height), r, direction if index == 0 else None, frames)
        things.append((pick(rng, KINDS), colour, jitter(rng, COLOURS[colour], 14), r, path))
    pictures, marks = [], []
    noise = float(rng.uniform(1, 6)) if rng.random() < 0.3 else 0.0
    for t in range(frames):
        image = Image.new("RGB", (width, height), paper)
        mark = Marks((width, height), grid)
        for kind, colour, fill, r, path in reversed(things):
            draw_shape(ImageDraw.Draw(image), kind, path[t], r, fill)
            mark.shape(kind, colour, *path[t])
        frame = to_grid(image, grid)
        pictures.append(add_noise(rng, frame, noise) if noise else frame)
        marks.append(mark.array)
    kind, colour, *_, path = things[0]
    first, last = ((x / width - 0.5, y / height - 0.5) for x, y in (path[0], path[-1]))
    dialog = clip_dialog(rng, f"The {colour} {kind}.", direction, (last, first), questions, evenly)
    return Sample(pictures, dialog, np.stack(marks))


def clip_dialog(
    rng: np.random.Generator,
    mover: str,
    direction: str | None,
    apart: tuple[Vector, Vector],
    questions: int,
    evenly: bool = False,
) -> list[Turn]:
    """Direction, moving or still, what moves; now and then something that no clip answers.

    In random order, where the direction of a moving shape (evenly: and what moves) often comes
    first.
    """
    way = direction.capitalize() if direction else "It is not moving."
    dialog = [
        Turn(ask(rng, phrases.DIRECTION), way, apart),
        Turn(ask(rng, phrases.MOVING[:2]), "Moving" if direction else "Still", apart),
        Turn(phrases.MOVING[2], "Yes" if direction else "No", apart),
    ]
    if direction:
        dialog.append(Turn(ask(rng, phrases.MOVING_SHAPE), mover, apart, (apart[0],)))
    if rng.random() < 0.2:
        dialog.append(Turn(ask(rng, phrases.PRICE), DECLINE))
    if rng.random() < 0.2:
        dialog.append(Turn(ask(rng, phrases.SCENE), "A clip of shapes."))
    order = [int(i) for i in rng.permutation(len(dialog))]
    if direction and rng.random() < 0.5:
        first = (0, 3) if evenly else (0,)
        order = sorted(order, key=lambda number: number not in first)
    return [dialog[i] for i in order][:questions]
