"""What a generator returns, and the few helpers that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

BLOCK = 28
"""Pixels on each side of one visual token: a 2x2 group of 14-pixel patches."""

CHARS = "abcdefghijklmnopqrstuvwxyz0123456789$.%-/"
"""Characters that the training-only reading head knows; upper case counts as lower case."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 35),
    "green": (35, 150, 50),
    "blue": (35, 60, 215),
    "yellow": (240, 220, 40),
    "orange": (245, 140, 25),
    "purple": (130, 40, 160),
    "pink": (250, 130, 185),
    "brown": (125, 70, 30),
    "gray": (128, 128, 128),
    "black": (12, 12, 12),
    "white": (248, 248, 248),
    "teal": (10, 130, 130),
}
"""Colour names and their centres in sRGB."""

KINDS = ("circle", "square", "rectangle", "triangle", "star", "diamond", "cross", "ring")
"""Names of the drawn shapes."""
PLURALS = tuple("crosses" if kind == "cross" else f"{kind}s" for kind in KINDS)
THINGS = ("shape", "shapes", "objects")
"""What shapes of any kind are called."""

ROLES = (
    *("word", "title", "second", "price", "discount", "rating"),
    *("in stock", "out of stock", "old price", "other"),
)
"""What a text is for; "second" is the second word of a title."""

SPELLED = ROLES[:6]
"""Roles whose texts are answers, to be spelled out."""

LONGEST = 9
"""Characters of a text whose order is told."""

MARK_SLOTS = 7
"""Marks for each patch: left character, right character, shape kind, shape colour, the number of
the left and of the right character in its text (0: not to be spelled), role of the text."""

PICTURE = len(KINDS) + 1
"""In place of a kind: the patch is part of a photograph, clip art or a texture."""

UNKNOWN = 255
"""In any slot: nobody labelled what is there."""

Vector = tuple[float, float]
"""x and y, to the right and down."""


class Turn(NamedTuple):
    """A question with its answer.

    apart: where a thing lies and from where it is seen, if the answer hangs on that. about: where
    the shapes lie that the answer counts, finds or names; None if it does neither or nobody knows.
    x and y from the middle of the (last) picture, in shares of its sides.
    """

    question: str
    answer: str
    apart: tuple[Vector, Vector] | None = None
    about: tuple[Vector, ...] | None = None

    @property
    def shift(self) -> Vector | None:
        """How far apart the two places lie."""
        if self.apart is None:
            return None
        (x, y), (from_x, from_y) = self.apart
        return x - from_x, y - from_y


NOTHING_ASKED = [Turn("What is written?", "I do not say.")]
"""The dialog of pictures of which only the marks are learnt."""


@dataclass
class Sample:
    """One picture or clip with its questions.

    frames: uint8 arrays of (height, width, 3), all of one size, sides in multiples of 28.
    dialog: turns about them, in the order to be asked.
    marks: uint8 (frames, height / 14, width / 14, MARK_SLOTS); 0: nothing there, UNKNOWN: nobody
    knows.
    places: where the things lie whose names fit no other: x and y from the picture's middle, in
    shares of its sides.
    """

    frames: list[np.ndarray]
    dialog: list[Turn]
    marks: np.ndarray = field(repr=False)
    places: dict[str, Vector] = field(default_factory=dict)


class Marks:
    """Collects where glyphs and shapes lie on one canvas, to label its patches."""

    def __init__(self, canvas: tuple[int, int], grid: tuple[int, int]):
        """canvas: (width, height) in drawing pixels; grid: (rows, columns) of 28-pixel blocks."""
        rows, columns = grid[0] * 2, grid[1] * 2
        self.array = np.zeros((rows, columns, MARK_SLOTS), np.uint8)
        self._scale = (columns / canvas[0], rows / canvas[1])

    def _cell(self, x: float, y: float) -> tuple[int, int, int] | None:
        column, row = x * self._scale[0], y * self._scale[1]
        rows, columns, _ = self.array.shape
        if not (0 <= row < rows and 0 <= column < columns):
            return None
        return int(row), int(column), int(column * 2) % 2

    def glyph(self, char: str, x: float, y: float, order: int = 0, role: str = "other") -> None:
        """Marks the half patch that holds the centre of a character, or the next one if taken.

        order: the character's number in its text, from 1; 0 if it is not to be spelled.
        """
        cell = self._cell(x, y)
        if cell and self.array[cell]:
            cell = self._cell(x + 0.5 / self._scale[0], y) or cell
        index = CHARS.find(char.lower())
        if cell and index >= 0:
            row, column, half = cell
            self.array[cell] = index + 1
            self.array[row, column, 4 + half] = order
            self.array[row, column, 6] = ROLES.index(role) + 1

    def shape(self, kind: str | None, colour: str | None, x: float, y: float) -> None:
        """Marks the patch that holds the centre of a shape; None where it is not known."""
        cell = self._cell(x, y)
        if cell:
            slots = self.array[cell[:2]]
            slots[2] = UNKNOWN if kind is None else KINDS.index(kind) + 1
            slots[3] = UNKNOWN if colour is None else list(COLOURS).index(colour) + 1

    def picture(self, box: tuple[float, float, float, float]) -> None:
        """Marks all patches whose middle lies in a box (left, top, right, bottom) as a picture.

        What letters or colours it holds is unknown.
        """
        left, right = (round(x * self._scale[0]) for x in box[::2])
        top, bottom = (round(y * self._scale[1]) for y in box[1::2])
        self.array[top:bottom, left:right] = UNKNOWN
        self.array[top:bottom, left:right, 2] = PICTURE


def to_grid(image: Image.Image, grid: tuple[int, int]) -> np.ndarray:
    """Resizes an RGB picture to (rows, columns) blocks; uint8 (rows * 28, columns * 28, 3)."""
    size = (grid[1] * BLOCK, grid[0] * BLOCK)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)


def jitter(rng: np.random.Generator, colour: tuple[int, int, int], spread: int) -> tuple[int, ...]:
    """The colour moved by at most `spread` in each channel."""
    moved = np.array(colour) + rng.integers(-spread, spread + 1, 3)
    return tuple(int(v) for v in np.clip(moved, 0, 255))


def add_noise(rng: np.random.Generator, frame: np.ndarray, strength: float) -> np.ndarray:
    """Adds Gaussian noise with a standard deviation in 8-bit levels."""
    noisy = frame + rng.normal(0.0, strength, frame.shape).astype(np.float32)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def pick(rng: np.random.Generator, items: Any) -> Any:
    """One element of a sequence, chosen uniformly."""
    return items[int(rng.integers(len(items)))]
