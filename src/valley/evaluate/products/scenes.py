"""Pictures without a card: products alone and among others, in rows, on very long strips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

from PIL import Image

from valley.evaluate.products.canvas import THEMES, Canvas
from valley.evaluate.products.goods import Offer, Product, price_text, random_product
from valley.evaluate.products.words import KINDS, Language, capital, say

#: Short side of a strip, in pixels.
STRIP = 200
#: The least and the most that a strip is longer than wide.
RATIOS = ((5, 8), (9, 13), (15, 20))


def photo(
    rng: Random, product: Product, level: int = 0, others: Sequence[Product] = ()
) -> Image.Image:
    """The product in a room; smaller on higher levels, with others of its world around it."""
    width, height = rng.choice(((480, 480), (560, 420), (420, 560)))
    canvas = Canvas((width, height), (255, 255, 255))
    canvas.room((0, 0, width, height), rng.choice(THEMES).room)
    side = min(width, height) * (0.8, 0.6, 0.42)[level] * rng.uniform(0.9, 1.0)
    across = side * (1.4 if product.pieces > 1 else 1.0)
    across = min(across, width * 0.94)
    x = width / 2 + (width - across) * 0.4 * rng.uniform(-1, 1)
    y = height * 0.58 - (height - side) * 0.1 * rng.random()
    _shelf(canvas, rng, others, min(min(width, height) * 0.24, y - side / 2 - 16))
    canvas.show(
        product, (x - across / 2, y - side / 2, x + across / 2, y + side / 2), rng.random() < 0.5
    )
    return canvas.image


def _shelf(canvas: Canvas, rng: Random, others: Sequence[Product], side: float) -> None:
    """Up to three products on a board along the upper edge."""
    if not others:
        return
    width, bottom = canvas.image.width, 8 + side
    canvas.draw.rectangle((0, bottom, width, bottom + 5), fill=(150, 128, 108))
    for thing, spot in zip(others, rng.sample((0.16, 0.5, 0.84), len(others)), strict=True):
        x = width * spot
        canvas.show(thing, (x - side / 2, 8, x + side / 2, bottom))


def line_up(rng: Random, wanted: Product, choices: Sequence[Product]) -> Image.Image:
    """One product above, and others below it under the letters A, B, C, D."""
    theme = rng.choice(THEMES[:-1])
    canvas = Canvas((680, 440), theme.paper)
    canvas.room((0, 0, 680, 212), theme.room)
    canvas.show(wanted, (250, 14, 430, 200), rng.random() < 0.5)
    for number, product in enumerate(choices):
        left = 12 + number * 166
        canvas.draw.rounded_rectangle((left, 226, left + 156, 428), radius=10, fill=theme.room[0])
        canvas.show(product, (left + 12, 262, left + 144, 420), rng.random() < 0.5)
        canvas.pill((left + 18, 246), "ABCD"[number], 20, theme.paper, theme.accent)
    return canvas.image


def detail_page(
    rng: Random, offer: Offer, facts: Sequence[tuple[str, str]], language: Language, level: int
) -> Image.Image:
    """A page to scroll through, 1:5 to 1:20: pictures, and one fact after another in words."""
    theme = rng.choice(THEMES)
    height = STRIP * rng.randint(*RATIOS[level])
    canvas = Canvas((STRIP, height), theme.paper)
    canvas.paragraph(
        (12, 10, STRIP - 12, 90), capital(offer.product.title(language)), 21, theme.ink, "black"
    )
    blocks: list[tuple[str, str] | None] = [*facts]
    pictures = max(1, round(height / STRIP) - len(facts) * 78 // STRIP - 1)
    for _ in range(pictures):
        blocks.insert(rng.randint(0, len(blocks)), None)
    y, gap = 90.0, (height - 100 - len(facts) * 78) / pictures
    for block in blocks:
        if block is None:
            canvas.room((0, y, STRIP, y + gap - 8), theme.room)
            side = min(gap * 0.84, STRIP * 0.9)
            middle = y + gap / 2 - 4
            canvas.show(
                offer.product,
                (100 - side / 2, middle - side / 2, 100 + side / 2, middle + side / 2),
            )
            y += gap
            continue
        canvas.write((12, y + 6), capital(say(block[0], language)), 17, theme.muted)
        canvas.write((12, y + 30), block[1], 23, theme.accent, "black")
        canvas.draw.line((12, y + 70, STRIP - 12, y + 70), fill=theme.muted)
        y += 78
    return canvas.image


def banner(
    rng: Random, shelf: Sequence[tuple[Product, Decimal]], language: Language
) -> Image.Image:
    """A row of products with their prices, one block each: 5:1 to 20:1."""
    theme = rng.choice(THEMES)
    canvas = Canvas((STRIP * len(shelf), STRIP), theme.paper)
    for number, (product, price) in enumerate(shelf):
        left = number * STRIP
        canvas.room((left, 0, left + STRIP, STRIP - 44), theme.room)
        canvas.show(product, (left + 26, 4, left + 174, STRIP - 48), rng.random() < 0.5)
        middle = (left + STRIP / 2, STRIP - 22)
        canvas.write(middle, price_text(price, language), 27, theme.accent, "black", "mm")
    return canvas.image


def neighbours(rng: Random, product: Product, number: int) -> list[Product]:
    """Products of other kinds, no two of the same kind."""
    kinds = rng.sample([kind for kind in KINDS if kind != product.kind], number)
    return [replace(random_product(rng), kind=kind) for kind in kinds]
