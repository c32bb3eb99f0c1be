"""A picture in the making: writing, panels, products, marks. Fonts are the package's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from valley.data.synthetic.shapes import draw_shape
from valley.evaluate.products.drawings import RGB, drawing
from valley.evaluate.products.goods import Product
from valley.types import Size

Face: TypeAlias = Literal["sans", "black", "serif"]
Box: TypeAlias = tuple[float, float, float, float]

FONTS = Path(__file__).parent / "fonts"
FACES: dict[Face, str] = {"sans": "sans.ttf", "black": "black.ttf", "serif": "serif.otf"}
SMALLEST = 9


@dataclass(frozen=True)
class Theme:
    """Colours that go together. `room`: the wall behind a product, from top to bottom."""

    paper: RGB
    ink: RGB
    muted: RGB
    accent: RGB
    room: tuple[RGB, RGB]


def _theme(colours: str) -> Theme:
    paper, ink, muted, accent, high, low = (_rgb(colour) for colour in colours.split())
    return Theme(paper, ink, muted, accent, (high, low))


def _rgb(colour: str) -> RGB:
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue


THEMES = tuple(
    _theme(colours)
    for colours in (
        "fffaf2 28221e 7a7066 ce3420 faecd6 ecd2b2",
        "f6f9fc 1c2430 687484 1460cc e4eef8 c0d0e4",
        "f5fcf7 1a2e24 60786c 087a52 e0f4e8 badac8",
        "fff6f8 381c24 84646e c61c56 fde4ea eec4d0",
        "fcfbff 2c2442 766e88 6c34be ece6fa cec4e8",
        "1c1e26 f2f2f6 9ca0ae ffb830 585c6e 3a3c4c",
    )
)


@lru_cache(maxsize=256)
def load(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels, without shaping: the same on every machine."""
    path = str(FONTS / FACES[face])
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


class Canvas:
    """An RGB picture and a pen."""

    def __init__(self, size: Size, paper: RGB) -> None:
        self.image = Image.new("RGB", size, paper)
        self.draw = ImageDraw.Draw(self.image)

    def room(self, box: Box, colours: tuple[RGB, RGB]) -> None:
        """A wall from one colour to another, and a floor in front of it."""
        left, top, right, bottom = (round(side) for side in box)
        share = np.linspace(0.0, 1.0, bottom - top)[:, None, None]
        high, low = (np.array(colour, float) for colour in colours)
        wall = np.broadcast_to(high + (low - high) * share, (bottom - top, right - left, 3))
        self.image.paste(Image.fromarray(wall.astype(np.uint8)), (left, top))
        floor = top + round((bottom - top) * 0.78)
        red, green, blue = (round(value * 0.94) for value in colours[1])
        self.draw.rectangle((left, floor, right - 1, bottom - 1), fill=(red, green, blue))

    def write(
        self,
        xy: tuple[float, float],
        text: str,
        size: float,
        ink: RGB,
        face: Face = "sans",
        anchor: str = "la",
    ) -> Box:
        """One line at a place that `anchor` names as in Pillow; returns the box of its ink."""
        font = load(face, max(SMALLEST, round(size)))
        self.draw.text(xy, text, font=font, fill=ink, anchor=anchor)
        return self.draw.textbbox(xy, text, font=font, anchor=anchor)

    def paragraph(
        self, box: Box, text: str, size: float, ink: RGB, face: Face = "sans", lines: int = 2
    ) -> float:
        """Up to so many lines within the width of the box, smaller if need be; returns the y
        below the last one."""
        while len(rows := wrapped(text, face, size, box[2] - box[0])) > lines and size > SMALLEST:
            size -= 1
        y = box[1]
        for row in rows:
            self.write((box[0], y), row, size, ink, face)
            y += size * 1.24
        return y

    def pill(
        self,
        xy: tuple[float, float],
        text: str,
        size: float,
        ink: RGB,
        fill: RGB,
        anchor: str = "lm",
    ) -> Box:
        """Words on a rounded plate; `anchor` as in Pillow, of the words."""
        font = load("sans", max(SMALLEST, round(size)))
        left, top, right, bottom = self.draw.textbbox(xy, text, font=font, anchor=anchor)
        pad = size * 0.42
        plate = (left - pad, top - pad * 0.7, right + pad, bottom + pad * 0.7)
        self.draw.rounded_rectangle(plate, radius=pad, fill=fill)
        self.write(xy, text, size, ink, anchor=anchor)
        return plate

    def strike(self, box: Box, ink: RGB) -> None:
        y, width = (box[1] + box[3]) / 2, max(1, round((box[3] - box[1]) / 9))
        self.draw.line((box[0] - 2, y, box[2] + 2, y), fill=ink, width=width)

    def star(self, xy: tuple[float, float], radius: float) -> None:
        draw_shape(self.draw, "star", xy, radius, (244, 172, 24))

    def show(self, product: Product, box: Box, mirrored: bool = False) -> None:
        """All pieces of a product, side by side in the box, each on its shadow."""
        columns = 1 if product.pieces == 1 else 2 if product.pieces in (2, 4) else 3
        rows = -(-product.pieces // columns)
        width, height = (box[2] - box[0]) / columns, (box[3] - box[1]) / rows
        side = round(min(width, height) * 0.94)
        picture = drawing(product, side)
        if mirrored:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for piece in range(product.pieces):
            x = box[0] + (piece % columns + 0.5) * width
            y = box[1] + (piece // columns + 0.5) * height
            self._shadow((x, y + side * 0.45), side)
            self.image.paste(picture, (round(x - side / 2), round(y - side / 2)), picture)

    def _shadow(self, xy: tuple[float, float], side: int) -> None:
        shade = Image.new("L", (side, max(4, side // 5)), 0)
        width, height = shade.size
        ellipse = (width * 0.12, height * 0.25, width * 0.88, height * 0.75)
        ImageDraw.Draw(shade).ellipse(ellipse, fill=76)
        shade = shade.filter(ImageFilter.GaussianBlur(max(1, side // 40)))
        place = (round(xy[0] - width / 2), round(xy[1] - height / 2))
        self.image.paste((30, 26, 24), place, shade)

    def stamp(self, box: Box, text: str) -> None:
        """Large words across the box, the picture showing through."""
        width, height = round(box[2] - box[0]), round(box[3] - box[1])
        layer = Image.new("L", (width, height), 0)
        size = fitting(text, "black", width * 0.8, height * 0.4)
        centre = (width / 2, height / 2)
        ImageDraw.Draw(layer).text(centre, text, font=load("black", size), fill=150, anchor="mm")
        layer = layer.rotate(24, Image.Resampling.BILINEAR)
        self.image.paste((90, 90, 96), (round(box[0]), round(box[1])), layer)

    def code(self, rng: Random, xy: tuple[float, float], side: float) -> None:
        """What looks like a QR code and leads nowhere: modules by lot around three corners."""
        unit = max(2, round(side / 23))
        left, top = round(xy[0]), round(xy[1])
        plate = (left, top, left + unit * 23, top + unit * 23)
        self.draw.rectangle(plate, fill=(255, 255, 255))
        for row in range(21):
            for column in range(21):
                if rng.random() < 0.5:
                    x, y = left + unit * (column + 1), top + unit * (row + 1)
                    self.draw.rectangle((x, y, x + unit - 1, y + unit - 1), fill=(0, 0, 0))
        for column, row in ((0, 0), (14, 0), (0, 14)):
            x, y = left + unit * (column + 1), top + unit * (row + 1)
            for inset, far, fill in ((0, 8, 255), (0, 7, 0), (1, 6, 255), (2, 5, 0)):
                corner = (x + unit * inset, y + unit * inset)
                end = (x + unit * far - 1, y + unit * far - 1)
                self.draw.rectangle((*corner, *end), fill=(fill, fill, fill))


def fitting(text: str, face: Face, width: float, height: float) -> int:
    """The largest size in pixels at which a line fits."""
    at = 100
    left, top, right, bottom = load(face, at).getbbox(text)
    share = min(width / max(1.0, right - left), height / max(1.0, bottom - top))
    return max(SMALLEST, math.floor(at * share))


def wrapped(text: str, face: Face, size: float, width: float) -> list[str]:
    """Lines that fit the width, broken between words, or anywhere where there are none."""
    font = load(face, max(SMALLEST, round(size)))
    rows, row = [], ""
    for word in _words(text):
        if row and font.getlength((row + word).rstrip()) > width:
            rows.append(row.rstrip())
            row = ""
        row += word
    return [*rows, row.rstrip()]


def _words(text: str) -> list[str]:
    """Pieces between which a line may break."""
    pieces: list[str] = []
    for char in text:
        if pieces and char.isascii() and not pieces[-1].endswith(" ") and pieces[-1].isascii():
            pieces[-1] += char
        else:
            pieces.append(char)
    return pieces
