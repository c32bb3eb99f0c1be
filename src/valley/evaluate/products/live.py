"""Frames of live sales: a host, a table, a product, and what changes while the clip runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from PIL import Image

from valley.evaluate.products.canvas import THEMES, Canvas, Theme
from valley.evaluate.products.cards import Contact, draw_contact
from valley.evaluate.products.drawings import RGB
from valley.evaluate.products.goods import Product, price_text
from valley.evaluate.products.words import CHATTER, Language, capital, say

WIDTH, HEIGHT = 288, 512
#: Frames of every clip.
FRAMES = 8

SKINS: tuple[RGB, ...] = ((244, 208, 176), (222, 176, 136), (172, 122, 86), (112, 76, 54))
HAIRS: tuple[RGB, ...] = ((38, 30, 28), (92, 58, 34), (168, 112, 52), (60, 60, 66))


@dataclass(frozen=True)
class Moment:
    """What one frame shows. `size`: of the product, in shares of the width."""

    product: Product | None
    price: Decimal | None = None
    coupon: bool = False
    sold_out: bool = False
    contact: Contact | None = None
    size: float = 0.46
    place: float = 0.5
    turned: bool = False


@dataclass(frozen=True)
class Studio:
    """What all frames of a clip share."""

    theme: Theme
    skin: RGB
    hair: RGB
    shirt: RGB
    shelf: tuple[Product, ...]
    chatter: tuple[str, ...]
    viewers: int


def random_studio(rng: Random, shelf: Sequence[Product]) -> Studio:
    theme = rng.choice(THEMES)
    chatter = tuple(rng.sample(tuple(CHATTER), 4))
    shirt = rng.choice(((70, 110, 150), (150, 84, 92), (84, 128, 96), (120, 108, 148)))
    viewers = rng.randrange(100, 9000)
    return Studio(
        theme, rng.choice(SKINS), rng.choice(HAIRS), shirt, tuple(shelf), chatter, viewers
    )


def clip(
    rng: Random, studio: Studio, moments: Sequence[Moment], language: Language
) -> tuple[Image.Image, ...]:
    sway = rng.random() * math.tau
    seed = rng.random()
    return tuple(
        _frame(Random(seed), studio, moment, language, number, sway)
        for number, moment in enumerate(moments)
    )


def _frame(
    rng: Random, studio: Studio, moment: Moment, language: Language, number: int, sway: float
) -> Image.Image:
    theme = studio.theme
    canvas = Canvas((WIDTH, HEIGHT), theme.paper)
    canvas.room((0, 0, WIDTH, HEIGHT), theme.room)
    _shelf(canvas, studio)
    _host(canvas, studio, WIDTH / 2 + 10 * math.sin(sway + number * 0.9))
    red, green, blue = (round(value * 0.8) for value in theme.room[1])
    canvas.draw.rectangle((0, 352, WIDTH, HEIGHT), fill=(red, green, blue))
    if moment.product:
        half, x = WIDTH * moment.size / 2, WIDTH * moment.place
        canvas.show(moment.product, (x - half, 362 - 2 * half, x + half, 362), moment.turned)
    if moment.contact:
        draw_contact(canvas, rng, moment.contact, language, (0, 46, WIDTH, 70), 1)
    _header(canvas, studio, language, number)
    _talk(canvas, studio, language, number)
    _offer(canvas, studio, moment, language)
    return canvas.image


def _shelf(canvas: Canvas, studio: Studio) -> None:
    red, green, blue = (round(value * 0.78) for value in studio.theme.room[1])
    canvas.draw.rectangle((0, 128, WIDTH, 134), fill=(red, green, blue))
    for place, product in zip((42, WIDTH - 42), studio.shelf, strict=False):
        canvas.show(product, (place - 34, 60, place + 34, 128))


def _host(canvas: Canvas, studio: Studio, x: float) -> None:
    draw = canvas.draw
    draw.ellipse((x - 41, 108, x + 41, 202), fill=studio.hair)
    draw.rounded_rectangle((x - 70, 208, x + 70, 420), radius=46, fill=studio.shirt)
    draw.rectangle((x - 13, 180, x + 13, 216), fill=studio.skin)
    draw.ellipse((x - 32, 120, x + 32, 196), fill=studio.skin)
    draw.pieslice((x - 37, 106, x + 37, 176), 180, 360, fill=studio.hair)
    for side in (-12, 12):
        draw.ellipse((x + side - 3, 154, x + side + 3, 161), fill=(40, 34, 32))
    draw.arc((x - 11, 162, x + 11, 180), 20, 160, fill=(150, 60, 60), width=2)


def _header(canvas: Canvas, studio: Studio, language: Language, number: int) -> None:
    canvas.pill((14, 24), capital(say("live", language)), 15, (255, 255, 255), (216, 34, 60))
    watching = studio.viewers + number * 7
    gap = " " if language == "en" else ""
    words = f"{watching}{gap}{say('watching', language)}"
    canvas.pill((WIDTH - 14, 24), words, 13, (255, 255, 255), (70, 66, 74), "rm")


def _talk(canvas: Canvas, studio: Studio, language: Language, number: int) -> None:
    for row in range(2):
        words = capital(say(studio.chatter[(number // 2 + row) % 4], language))
        canvas.pill((14, 384 + row * 25), words, 12, (255, 255, 255), (96, 90, 98))


def _offer(canvas: Canvas, studio: Studio, moment: Moment, language: Language) -> None:
    """The panel at the lower edge: what is on offer, for how much, whether it is gone."""
    theme = studio.theme
    canvas.draw.rounded_rectangle((8, 434, WIDTH - 8, HEIGHT - 8), radius=12, fill=theme.paper)
    if moment.product:
        canvas.show(moment.product, (16, 440, 76, 498))
    if moment.price is not None:
        shown = price_text(moment.price, language)
        canvas.write((88, 469), shown, 29, theme.accent, "black", "lm")
    if moment.product:
        words = say("sold out" if moment.sold_out else "buy now", language)
        fill = (126, 126, 132) if moment.sold_out else (216, 34, 60)
        canvas.pill((WIDTH - 22, 469), capital(words), 13, (255, 255, 255), fill, "rm")
    if moment.coupon:
        box = (WIDTH - 104, 206, WIDTH - 12, 262)
        canvas.draw.rounded_rectangle(box, radius=8, fill=(250, 204, 60))
        canvas.draw.rounded_rectangle(box, radius=8, outline=(186, 60, 30), width=3)
        size = 19 if language == "en" else 22
        canvas.write(
            (WIDTH - 58, 234), capital(say("coupon", language)), size, (160, 40, 20), "black", "mm"
        )
