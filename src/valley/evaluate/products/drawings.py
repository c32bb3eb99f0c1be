"""Pictures of products: outlines as data, filled with a colour and a pattern, shaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from valley.data.synthetic.sample import COLOURS
from valley.evaluate.products.goods import Product

Paint: TypeAlias = Literal["body", "dark", "light", "metal", "flame"]
Form: TypeAlias = Literal["ellipse", "box", "polygon", "blob", "pie", "arc"]
RGB: TypeAlias = tuple[int, int, int]

#: Drawing pixels for each final pixel.
OVER = 2


@dataclass(frozen=True)
class Part:
    """One piece of an outline, its numbers in shares of the side.

    ellipse: left, top, right, bottom. box: the same and a corner radius. polygon and blob (a
    polygon with its corners rounded off): x, y, x, y, … pie: a box and two angles in degrees.
    arc: the same and a line width.
    """

    paint: Paint
    form: Form
    numbers: tuple[float, ...]


def _parts(*rows: tuple[Paint, Form, str]) -> tuple[Part, ...]:
    return tuple(Part(p, f, tuple(float(n) for n in text.split())) for p, f, text in rows)


OUTLINES: dict[str, tuple[Part, ...]] = {
    "mug": _parts(
        ("dark", "arc", ".58 .36 .94 .74 -90 90 .07"),
        ("body", "box", ".16 .22 .74 .88 .08"),
        ("light", "ellipse", ".16 .15 .74 .31"),
        ("dark", "ellipse", ".20 .17 .70 .29"),
    ),
    "T-shirt": _parts(
        (
            "body",
            "polygon",
            ".34 .12 .66 .12 .97 .32 .84 .52 .74 .44 .74 .90 .26 .90 .26 .44 .16 .52 .03 .32",
        ),
        ("dark", "pie", ".38 .00 .62 .24 0 180"),
        ("light", "pie", ".41 .03 .59 .21 0 180"),
    ),
    "handbag": _parts(
        ("dark", "arc", ".30 .08 .70 .68 180 360 .05"),
        ("body", "polygon", ".16 .38 .84 .38 .93 .88 .07 .88"),
        ("dark", "polygon", ".16 .38 .84 .38 .70 .58 .30 .58"),
        ("metal", "ellipse", ".46 .52 .54 .60"),
    ),
    "table lamp": _parts(
        ("metal", "box", ".47 .45 .53 .86 0"),
        ("dark", "ellipse", ".30 .82 .70 .94"),
        ("body", "polygon", ".34 .10 .66 .10 .86 .52 .14 .52"),
        ("light", "box", ".34 .08 .66 .11 .01"),
    ),
    "bottle": _parts(
        ("metal", "box", ".41 .05 .59 .19 .02"),
        ("dark", "box", ".43 .18 .57 .34 0"),
        ("body", "box", ".31 .30 .69 .95 .11"),
        ("light", "box", ".36 .40 .395 .84 .015"),
    ),
    "cap": _parts(
        ("dark", "pie", ".40 .44 1.0 .80 180 372"),
        ("body", "pie", ".08 .20 .78 1.0 180 360"),
        ("dark", "ellipse", ".40 .17 .46 .22"),
        ("light", "arc", ".26 .20 .60 1.0 180 360 .008"),
    ),
    "umbrella": _parts(
        ("metal", "box", ".487 .08 .513 .84 0"),
        ("metal", "arc", ".389 .76 .513 .92 0 180 .026"),
        ("body", "pie", ".05 .12 .95 .94 180 360"),
        ("dark", "arc", ".30 .12 .70 .94 180 360 .008"),
    ),
    "cushion": _parts(
        ("body", "blob", ".08 .14 .50 .20 .92 .14 .86 .50 .92 .86 .50 .80 .08 .86 .14 .50"),
        ("dark", "ellipse", ".47 .47 .53 .53"),
    ),
    "vase": _parts(
        (
            "body",
            "blob",
            ".36 .08 .64 .08 .58 .20 .60 .32 .80 .50 .74 .78 .62 .94 .38 .94 .26 .78 .20 .50 "
            ".40 .32 .42 .20",
        ),
        ("dark", "ellipse", ".39 .08 .61 .14"),
        ("light", "arc", ".27 .42 .50 .86 130 225 .02"),
    ),
    "teapot": _parts(
        ("dark", "arc", ".02 .38 .36 .80 70 290 .05"),
        ("dark", "polygon", ".70 .54 .90 .36 .99 .38 .78 .76"),
        ("body", "ellipse", ".18 .34 .80 .88"),
        ("dark", "box", ".34 .85 .64 .90 .02"),
        ("light", "ellipse", ".34 .31 .64 .42"),
        ("dark", "ellipse", ".45 .22 .53 .33"),
    ),
    "dress": _parts(
        (
            "body",
            "polygon",
            ".33 .08 .41 .08 .44 .20 .56 .20 .59 .08 .67 .08 .67 .34 .62 .46 .88 .92 .12 .92 "
            ".38 .46 .33 .34",
        ),
        ("dark", "box", ".37 .43 .63 .49 0"),
        ("light", "ellipse", ".47 .43 .53 .49"),
    ),
    "candle": _parts(
        ("body", "box", ".30 .40 .70 .92 .04"),
        ("light", "ellipse", ".30 .35 .70 .46"),
        ("dark", "box", ".49 .26 .51 .41 0"),
        ("flame", "blob", ".50 .04 .58 .20 .54 .29 .46 .29 .42 .20"),
    ),
    "notebook": _parts(
        ("light", "box", ".24 .12 .84 .92 .03"),
        ("body", "box", ".20 .09 .80 .89 .03"),
        ("dark", "box", ".20 .09 .29 .89 .02"),
        ("metal", "ellipse", ".165 .18 .235 .22"),
        ("metal", "ellipse", ".165 .38 .235 .42"),
        ("metal", "ellipse", ".165 .58 .235 .62"),
        ("metal", "ellipse", ".165 .78 .235 .82"),
        ("light", "box", ".40 .20 .70 .32 .02"),
    ),
    "sock": _parts(
        (
            "body",
            "blob",
            ".36 .08 .68 .08 .67 .40 .66 .62 .60 .82 .36 .94 .12 .92 .08 .78 .20 .70 .36 .56 "
            ".37 .36",
        ),
        ("dark", "box", ".37 .08 .68 .18 .03"),
    ),
    "bowl": _parts(
        ("dark", "box", ".37 .80 .63 .90 .02"),
        ("body", "pie", ".06 .04 .94 .86 0 180"),
        ("light", "ellipse", ".06 .37 .94 .53"),
        ("dark", "ellipse", ".11 .39 .89 .51"),
    ),
    "backpack": _parts(
        ("dark", "arc", ".38 .04 .62 .34 180 360 .04"),
        ("dark", "box", ".11 .42 .24 .84 .05"),
        ("dark", "box", ".76 .42 .89 .84 .05"),
        ("body", "box", ".18 .16 .82 .93 .20"),
        ("dark", "box", ".30 .58 .70 .84 .06"),
        ("light", "box", ".30 .66 .70 .675 0"),
        ("dark", "box", ".26 .42 .74 .435 0"),
    ),
}


@lru_cache(maxsize=256)
def drawing(product: Product, side: int) -> Image.Image:
    """One piece of the product as RGBA, `side` pixels square, on nothing."""
    full = side * OVER
    colour = COLOURS[product.colour]
    paints = _paints(colour)
    image = Image.new("RGBA", (full, full), (*colour, 0))
    whole = Image.new("L", (full, full), 0)
    for part in OUTLINES[product.kind]:
        mask = _mask(part, full)
        whole = ImageChops.lighter(whole, mask)
        if part.paint == "body":
            image.paste(_cloth(product, full), mask=mask)
        else:
            image.paste((*paints[part.paint], 255), mask=mask)
    grown = whole.filter(ImageFilter.MaxFilter(3))
    image.paste((*paints["dark"], 255), mask=ImageChops.subtract(grown, whole))
    image.putalpha(grown)
    flat = image.resize((side, side), Image.Resampling.BOX)
    return Image.fromarray(_shaded(np.asarray(flat)))


def _paints(colour: RGB) -> dict[Paint, RGB]:
    """The tones beside the body's own."""
    bright = sum(colour) / 3
    dark = _mix(colour, (0, 0, 0), 0.35) if bright > 60 else (70, 70, 74)
    light = _mix(colour, (255, 255, 255), 0.55 if bright > 60 else 0.3)
    return {"dark": dark, "light": light, "metal": (176, 180, 188), "flame": (255, 176, 46)}


def _mix(one: RGB, two: RGB, share: float) -> RGB:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, two, strict=True))
    return red, green, blue


def _cloth(product: Product, full: int) -> Image.Image:
    """A square of the product's colour and pattern, RGBA."""
    colour = COLOURS[product.colour]
    pale = product.colour in ("white", "yellow")
    second = _mix(colour, (0, 0, 0), 0.36) if pale else (250, 250, 250)
    cloth = Image.new("RGBA", (full, full), (*colour, 255))
    draw = ImageDraw.Draw(cloth)
    step = full / (2 * product.grain)
    for i in range(2 * product.grain + 1):
        if product.pattern == "striped":
            low, high = i * step, i * step + step * 0.42
            box = (0, low, full, high) if product.across else (low, 0, high, full)
            draw.rectangle(box, fill=(*second, 255))
        for j in range(2 * product.grain + 1):
            x, y = (i + 0.5 * (j % 2)) * step, j * step
            if product.pattern == "dotted":
                r = step * 0.24
                draw.ellipse((x - r, y - r, x + r, y + r), fill=(*second, 255))
            elif product.pattern == "checked" and (i + j) % 2:
                square = (i * step, j * step, (i + 1) * step, (j + 1) * step)
                draw.rectangle(square, fill=(*second, 255))
    return cloth


def _shaded(pixels: np.ndarray) -> np.ndarray:
    """Light from the upper left: `[S, S, 4]` uint8 to the same."""
    side = len(pixels)
    across = np.linspace(0.0, 1.0, side, dtype=np.float32)
    shade = 1.06 - 0.26 * np.abs(across[None, :] - 0.36) - 0.12 * across[:, None]
    lit = pixels.copy()
    lit[..., :3] = np.clip(pixels[..., :3] * shade[..., None], 0, 255).astype(np.uint8)
    return lit


def _mask(part: Part, full: int) -> Image.Image:
    """Where a part lies, as L."""
    mask = Image.new("L", (full, full), 0)
    draw = ImageDraw.Draw(mask)
    numbers = [number * full for number in part.numbers]
    box = tuple(numbers[:4])
    if part.form == "ellipse":
        draw.ellipse(box, fill=255)
    elif part.form == "box":
        draw.rounded_rectangle(box, radius=numbers[4], fill=255)
    elif part.form == "pie":
        draw.pieslice(box, part.numbers[4], part.numbers[5], fill=255)
    elif part.form == "arc":
        width = max(2, round(numbers[6]))
        draw.arc(box, part.numbers[4], part.numbers[5], fill=255, width=width)
    else:
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        draw.polygon(_rounded(points) if part.form == "blob" else points, fill=255)
    return mask


def _rounded(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The polygon with its corners cut off three times (Chaikin)."""
    for _ in range(3):
        following = [*points[1:], points[0]]
        points = [
            (a * s + c * (1 - s), b * s + d * (1 - s))
            for (a, b), (c, d) in zip(points, following, strict=True)
            for s in (0.75, 0.25)
        ]
    return points
