"""Scenes of flat coloured shapes: counts, colours, relative positions."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic import phrases
from valley.data.synthetic.phrases import DECLINE, ask
from valley.data.synthetic.sample import (
    BLOCK,
    COLOURS,
    KINDS,
    PLURALS,
    Marks,
    Sample,
    Turn,
    Vector,
    add_noise,
    jitter,
    pick,
    to_grid,
)

Thing = tuple[str, str, float, float]
"""Kind, colour name, and the centre's x and y in drawing pixels."""


def _polygon(kind: str, x: float, y: float, r: float, turn: float) -> list[tuple[float, float]]:
    radii = {
        "square": [1.0] * 4,
        "diamond": [1.0] * 4,
        "triangle": [1.0] * 3,
        "star": [1.0, 0.42] * 5,
        "rectangle": [1.0] * 4,
    }[kind]
    start = {"square": math.pi / 4, "rectangle": math.pi / 4}.get(kind, -math.pi / 2)
    points = []
    for i, radius in enumerate(radii):
        angle = start + turn + 2 * math.pi * i / len(radii)
        dx, dy = radius * r * math.cos(angle), radius * r * math.sin(angle)
        points.append((x + dx, y + dy * (0.55 if kind == "rectangle" else 1.0)))
    return points


def draw_shape(
    draw: ImageDraw.ImageDraw,
    kind: str,
    xy: tuple[float, float],
    r: float,
    fill: tuple[int, ...],
    turn: float = 0.0,
    outline: tuple[int, ...] | None = None,
) -> None:
    """Draws one shape of radius `r` pixels around `xy`; `turn` in radians."""
    x, y = xy
    if kind == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=outline)
    elif kind == "ring":
        draw.ellipse((x - r, y - r, x + r, y + r), outline=fill, width=max(2, round(r * 0.32)))
    elif kind == "cross":
        w = r * 0.33
        draw.rectangle((x - r, y - w, x + r, y + w), fill=fill)
        draw.rectangle((x - w, y - r, x + w, y + r), fill=fill)
    else:
        draw.polygon(_polygon(kind, x, y, r, turn), fill=fill, outline=outline)


def _place(
    rng: np.random.Generator, size: tuple[int, int], number: int, radius: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Up to `number` discs (x, y, r) that do not touch."""
    placed: list[tuple[float, float, float]] = []
    for _ in range(number * 40):
        if len(placed) == number:
            break
        r = float(rng.uniform(*radius))
        x = float(rng.uniform(r + 1, size[0] - r - 1))
        y = float(rng.uniform(r + 1, size[1] - r - 1))
        if all(math.hypot(x - a, y - b) > r + c + 2 for a, b, c in placed):
            placed.append((x, y, r))
    return placed


def paint(
    rng: np.random.Generator, grid: tuple[int, int], number: int, scale: float = 1.0
) -> tuple[Image.Image, Marks, list[Thing], str]:
    """A background and `number` shapes (fewer when there is no room) with what and where."""
    width, height = round(grid[1] * BLOCK * scale), round(grid[0] * BLOCK * scale)
    names = list(COLOURS)
    back = pick(rng, ("white", "white", "gray", "black", *names))
    image = Image.new("RGB", (width, height), jitter(rng, COLOURS[back], 8))
    draw = ImageDraw.Draw(image)
    marks = Marks((width, height), grid)
    usable = [name for name in names if name != back]
    if back in ("white", "yellow"):
        usable = [n for n in usable if n not in ("white",)]
    few = [pick(rng, usable) for _ in range(2)] if rng.random() < 0.3 else usable
    kinds = [pick(rng, KINDS) for _ in range(2)] if rng.random() < 0.3 else KINDS
    side = min(width, height)
    things: list[Thing] = []
    for x, y, r in _place(rng, (width, height), number, (side * 0.075, side * 0.17)):
        kind, colour = pick(rng, kinds), pick(rng, few)
        turn = float(rng.uniform(-0.25, 0.25))
        draw_shape(draw, kind, (x, y), r, jitter(rng, COLOURS[colour], 14), turn)
        marks.shape(kind, colour, x, y)
        things.append((kind, colour, x, y))
    return image, marks, things, back


def shape_scene(
    rng: np.random.Generator,
    grid: tuple[int, int],
    questions: int = 5,
    held_out: bool = False,
    scale: float | None = None,
    number: int | None = None,
    evenly: bool = False,
) -> Sample:
    """A scene of `number` shapes, else 0 to 9, mostly 1 to 5, with several questions.

    evenly: questions of all kinds about equally often, not where and how many first.
    """
    scale = scale or (1.0 if rng.random() < 0.6 else float(rng.uniform(0.8, 2.2)))
    if number is None:
        number = int(rng.integers(1, 6)) if rng.random() < 0.85 else int(rng.integers(0, 10))
    image, marks, things, back = paint(rng, grid, number, scale)
    frame = to_grid(image, grid)
    if rng.random() < 0.3:
        frame = add_noise(rng, frame, float(rng.uniform(1, 8)))
    turns = scene_dialog(rng, things, back, questions, evenly)
    dialog = [_in_shares(turn, image.size) for turn in turns]
    return Sample([frame], dialog, marks.array[None], places(things, image.size))


def places(things: list[Thing], size: tuple[int, int]) -> dict[str, Vector]:
    """Where the things lie whose kind, or kind and colour, no other has (see `Sample`)."""
    found = {}
    for kind, colour, x, y in things:
        for name, same in ((kind, 1), (f"{colour} {kind}", 2)):
            if sum(t[0] == kind and (same == 1 or t[1] == colour) for t in things) == 1:
                found[name] = _share((x, y), size)
    return found


def _share(xy: Vector, size: tuple[int, int]) -> Vector:
    """From drawing pixels to shares of the sides, from the middle."""
    return xy[0] / size[0] - 0.5, xy[1] / size[1] - 0.5


def _in_shares(turn: Turn, size: tuple[int, int]) -> Turn:
    apart = turn.apart and (_share(turn.apart[0], size), _share(turn.apart[1], size))
    about = None if turn.about is None else tuple(_share(xy, size) for xy in turn.about)
    return turn._replace(apart=apart, about=about)


def _at(things: list[Thing]) -> tuple[Vector, ...]:
    return tuple(thing[2:4] for thing in things)


def scene_dialog(
    rng: np.random.Generator, things: list[Thing], back: str, questions: int, evenly: bool = False
) -> list[Turn]:
    """`questions` different kinds of questions; the hard ones, where and how many, come early.

    Places are in drawing pixels.
    """
    makers = [where, count_all, count_some, is_side, colour_of, shape_of, present]
    often = (1.5, 1.5, 1.5, 1, 1, 1, 1) if evenly else (3, 2, 1, 1, 1, 1, 1)
    hardness = rng.random(len(makers)) * np.array(often, float)
    order = [makers[int(i)] for i in np.argsort(-hardness)]
    dialog = [turn for make in order if (turn := make(rng, things)) is not None]
    if rng.random() < 0.1:
        dialog.insert(0, Turn(ask(rng, phrases.BACKGROUND), back.capitalize()))
    if rng.random() < 0.1:
        dialog.insert(0, Turn(ask(rng, phrases.SCENE), "Colored shapes."))
    return dialog[:questions]


def count_all(rng: np.random.Generator, things: list[Thing]) -> Turn:
    """How many shapes in all."""
    return Turn(ask(rng, phrases.COUNT), str(len(things)), about=_at(things))


def count_some(rng: np.random.Generator, things: list[Thing]) -> Turn:
    """How many of one kind or one colour."""
    if rng.random() < 0.5:
        kind = pick(rng, things)[0] if things and rng.random() < 0.75 else pick(rng, KINDS)
        plural = PLURALS[KINDS.index(kind)]
        same = [t for t in things if t[0] == kind]
        return Turn(ask(rng, phrases.COUNT_OF, plural), str(len(same)), about=_at(same))
    colour = pick(rng, things)[1] if things and rng.random() < 0.75 else pick(rng, list(COLOURS))
    same = [t for t in things if t[1] == colour]
    return Turn(ask(rng, phrases.COUNT_OF, f"{colour} shapes"), str(len(same)), about=_at(same))


def _unique(things: list[Thing]) -> list[tuple[str, Thing]]:
    """Things with a name that fits no other: "red circle", or "circle" where that is enough."""
    named = []
    for thing in things:
        full = [t for t in things if t[:2] == thing[:2]]
        if len(full) == 1:
            named.append((f"{thing[1]} {thing[0]}", thing))
    return named


def _side(a: Thing, b: Thing) -> str | None:
    """Where `a` lies seen from `b`; None where neither axis clearly dominates."""
    dx, dy = a[2] - b[2], a[3] - b[3]
    if abs(dx) > 1.7 * abs(dy):
        return "left" if dx < 0 else "right"
    if abs(dy) > 1.7 * abs(dx):
        return "above" if dy < 0 else "below"
    return None


def _pair(
    rng: np.random.Generator, things: list[Thing]
) -> tuple[str, str, str, tuple[Vector, Vector]] | None:
    """Names of two things, the side of the second on which the first lies, and their places."""
    named = _unique(things)
    for _ in range(8):
        if len(named) < 2:
            return None
        first, second = (named[int(i)] for i in rng.permutation(len(named))[:2])
        side = _side(first[1], second[1])
        if side:
            return first[0], second[0], side, (first[1][2:4], second[1][2:4])
    return None


def where(rng: np.random.Generator, things: list[Thing]) -> Turn | None:
    """left, right, above or below; declines when one of the two is not there."""
    pair = _pair(rng, things)
    if pair is None:
        return None
    first, second, side, apart = pair
    if rng.random() < 0.06:
        return Turn(ask(rng, phrases.WHERE, _absent(rng, things), second), DECLINE)
    return Turn(ask(rng, phrases.WHERE, first, second), side.capitalize(), apart)


def is_side(rng: np.random.Generator, things: list[Thing]) -> Turn | None:
    """Yes or no: is one thing left of, right of, above or below another?"""
    pair = _pair(rng, things)
    if pair is None:
        return None
    first, second, side, apart = pair
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}[side]
    asked = side if rng.random() < 0.5 else opposite
    words = phrases.SIDE_WORDS[asked]
    answer = "Yes" if asked == side else "No"
    return Turn(ask(rng, phrases.IS_SIDE, first, words, second), answer, apart)


def _absent(rng: np.random.Generator, things: list[Thing]) -> str:
    while True:
        kind, colour = pick(rng, KINDS), pick(rng, list(COLOURS))
        if not any(t[0] == kind and t[1] == colour for t in things):
            return f"{colour} {kind}"


def colour_of(rng: np.random.Generator, things: list[Thing]) -> Turn | None:
    """The colour of the only shape of its kind; declines for a kind that is not there."""
    kinds = [k for k in KINDS if all(t[0] != k for t in things)]
    if kinds and rng.random() < 0.12:
        return Turn(ask(rng, phrases.COLOUR_OF, pick(rng, kinds)), DECLINE, about=())
    single = [t for t in things if sum(t[0] == o[0] for o in things) == 1]
    if not single:
        return None
    thing = pick(rng, single)
    name = "shape" if len(things) == 1 and rng.random() < 0.5 else thing[0]
    return Turn(ask(rng, phrases.COLOUR_OF, name), thing[1].capitalize(), about=_at([thing]))


def shape_of(rng: np.random.Generator, things: list[Thing]) -> Turn | None:
    """The kind of the only shape of its colour."""
    single = [t for t in things if sum(t[1] == o[1] for o in things) == 1]
    if not single:
        return None
    thing = pick(rng, single)
    return Turn(ask(rng, phrases.SHAPE_OF, thing[1]), thing[0].capitalize(), about=_at([thing]))


def present(rng: np.random.Generator, things: list[Thing]) -> Turn:
    """Yes or no: is there a red circle?"""
    if things and rng.random() < 0.5:
        kind, colour = pick(rng, things)[:2]
        same = [t for t in things if t[:2] == (kind, colour)]
        return Turn(ask(rng, phrases.PRESENT, f"{colour} {kind}"), "Yes", about=_at(same))
    return Turn(ask(rng, phrases.PRESENT, _absent(rng, things)), "No", about=())
