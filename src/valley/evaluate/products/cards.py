"""Product cards: what is sold, for how much, in several layouts; marks that rules forbid."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Literal, TypeAlias

from PIL import Image

from valley.evaluate.products.canvas import THEMES, Box, Canvas, Theme
from valley.evaluate.products.goods import Offer, Product, price_text, random_price
from valley.evaluate.products.words import Language, capital, say
from valley.types import Size

ContactKind: TypeAlias = Literal["phone", "WeChat", "QR code"]


@dataclass(frozen=True)
class Contact:
    """How to reach the seller: `text` is empty for a code."""

    kind: ContactKind
    text: str = ""


@dataclass(frozen=True)
class Marks:
    """What else is on a card. `stranger`: another product beside the one sold; `title`: what it
    is called instead of what it is."""

    contact: Contact | None = None
    claim: bool = False
    stamp: bool = False
    stranger: Product | None = None
    no_price: bool = False
    title: str = ""


@dataclass(frozen=True)
class Layout:
    """The size of a card, where its product stands and where it says what."""

    size: Size
    room: Box
    text: Box


LAYOUTS = (
    Layout((480, 640), (0, 0, 480, 366), (26, 380, 454, 626)),
    Layout((760, 400), (0, 0, 370, 400), (394, 22, 740, 380)),
    Layout((760, 400), (390, 0, 760, 400), (22, 22, 370, 380)),
    Layout((560, 560), (0, 0, 560, 320), (28, 332, 532, 546)),
    Layout((380, 680), (0, 290, 380, 680), (22, 18, 360, 276)),
)


def random_contact(rng: Random, language: Language, kind: ContactKind) -> Contact:
    """Numbers that belong to nobody: 555-01xx, and Chinese ones that begin with 100."""
    if kind == "phone":
        tail = f"{rng.randrange(100):02d}"
        number = f"{rng.randrange(201, 990)}-555-01{tail}"
        return Contact(kind, number if language == "en" else f"100{rng.randrange(10**8):08d}")
    if kind == "WeChat":
        letters = "".join(rng.choice("abcdefghjkmnpqrstuvwxyz") for _ in range(rng.randrange(3, 6)))
        return Contact(kind, f"{letters}_{rng.randrange(1000, 10000)}")
    return Contact(kind)


def card(
    rng: Random,
    offer: Offer,
    language: Language,
    level: int = 0,
    marks: Marks = Marks(),
    layout: Layout | None = None,
) -> Image.Image:
    """A card. `level` 0 to 2: smaller print and more amounts that are not the price."""
    theme = rng.choice(THEMES)
    layout = layout or rng.choice(LAYOUTS)
    canvas = Canvas(layout.size, theme.paper)
    canvas.room(layout.room, theme.room)
    _stage(canvas, rng, offer.product, language, layout.room, marks)
    _badges(canvas, rng, theme, language, layout.room, marks)
    if marks.contact:
        draw_contact(canvas, rng, marks.contact, language, layout.room, level)
    _details(canvas, rng, theme, offer, language, layout.text, level, marks)
    return canvas.image


def _stage(
    canvas: Canvas, rng: Random, product: Product, language: Language, room: Box, marks: Marks
) -> None:
    width, height = room[2] - room[0], room[3] - room[1]
    side = min(width, height) * rng.uniform(0.7, 0.86)
    x, y = (room[0] + room[2]) / 2, room[1] + height * 0.5
    if marks.stranger:
        half = min(side, width * 0.48) / 2
        pair = [product, marks.stranger]
        rng.shuffle(pair)
        for thing, centre in zip(pair, (x - width / 4, x + width / 4), strict=True):
            canvas.show(thing, (centre - half, y - half, centre + half, y + half))
        return
    across = width * 0.92 if product.pieces > 1 else side
    box = (x - across / 2, y - side / 2, x + across / 2, y + side / 2)
    canvas.show(product, box, mirrored=rng.random() < 0.5)
    if marks.stamp:
        canvas.stamp(box, say("sample", language).upper())


def _badges(
    canvas: Canvas, rng: Random, theme: Theme, language: Language, room: Box, marks: Marks
) -> None:
    """A pill in the upper corner: a claim, or something harmless."""
    words = "the best in the world" if marks.claim else rng.choice(("new", "free shipping", "deal"))
    if not marks.claim and rng.random() < 0.4:
        return
    size = (room[2] - room[0]) * 0.045
    canvas.pill((room[0] + 22, room[1] + 26), say(words, language), size, theme.paper, theme.accent)


def draw_contact(
    canvas: Canvas, rng: Random, contact: Contact, language: Language, room: Box, level: int
) -> None:
    """A way to reach the seller, in a lower corner of the room; smaller on higher levels."""
    width, height = room[2] - room[0], room[3] - room[1]
    if contact.kind == "QR code":
        side = min(width, height) * (0.34, 0.27, 0.2)[level]
        canvas.code(rng, (room[2] - side - 12, room[3] - side - 12), side)
        if level < 2:
            place = (room[2] - side - 20, room[3] - 22)
            canvas.pill(place, say("scan me", language), 14, (255, 255, 255), (60, 60, 66), "rm")
        return
    label = say("call" if contact.kind == "phone" else "WeChat", language)
    words = f"{capital(label)} {contact.text}"
    size = width * (0.066, 0.05, 0.036)[level]
    place = (room[0] + 18, room[3] - size * 1.1)
    if level < 2:
        canvas.pill(place, words, size, (255, 255, 255), (54, 56, 64))
    else:
        canvas.write(place, words, size, (70, 66, 62), anchor="lm")


def _details(
    canvas: Canvas,
    rng: Random,
    theme: Theme,
    offer: Offer,
    language: Language,
    box: Box,
    level: int,
    marks: Marks,
) -> None:
    """Brand, title, price, rating, stock, from top to bottom, in units that fill the box."""
    left, y, right, bottom = box
    unit = min((right - left) / 13, (bottom - y) / 10.6)
    canvas.write((left, y), offer.brand, unit * 0.85, theme.muted, "serif")
    title = capital(marks.title or offer.product.title(language))
    y = canvas.paragraph((left, y + unit * 1.15, right, bottom), title, unit * 1.1, theme.ink)
    y = _price_row(canvas, theme, offer, language, (left, y + unit * 0.3), unit, level, marks)
    if level:
        amount = price_text(random_price(rng, 2, 9), language)
        row = f"{capital(say('coupon', language))} -{amount}"
        canvas.pill((left + unit * 0.3, y + unit * 0.7), row, unit * 0.7, theme.paper, theme.muted)
        y += unit * 1.7
    canvas.star((left + unit * 0.45, y + unit * 0.55), unit * 0.45)
    words = f"{offer.rating}   {say('sold', language)} {offer.sold}"
    canvas.write((left + unit * 1.2, y + unit * 0.55), words, unit * 0.75, theme.ink, anchor="lm")
    row = f"{capital(say('material', language))}: {say(offer.material, language)}"
    canvas.write((left, y + unit * 1.35), row, unit * 0.75, theme.muted)
    stock = capital(say("in stock" if offer.in_stock else "sold out", language))
    fill = (22, 128, 70) if offer.in_stock else (120, 120, 126)
    canvas.pill((left + unit * 0.4, y + unit * 3.2), stock, unit * 0.8, (255, 255, 255), fill)


def _price_row(
    canvas: Canvas,
    theme: Theme,
    offer: Offer,
    language: Language,
    xy: tuple[float, float],
    unit: float,
    level: int,
    marks: Marks,
) -> float:
    size = unit * (2.2, 1.6, 1.2)[level]
    middle = xy[1] + size * 0.6
    if not marks.no_price:
        shown = price_text(offer.price, language)
        ink = canvas.write((xy[0], middle), shown, size, theme.accent, "black", "lm")
        if offer.old_price is not None:
            _old_price(canvas, theme, offer.old_price, language, (ink[2] + unit, middle), unit)
    return xy[1] + size * 1.3


def _old_price(
    canvas: Canvas,
    theme: Theme,
    price: Decimal,
    language: Language,
    xy: tuple[float, float],
    unit: float,
) -> None:
    old = canvas.write(xy, price_text(price, language), unit * 0.8, theme.muted, anchor="lm")
    canvas.strike(old, theme.muted)
