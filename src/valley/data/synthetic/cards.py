"""Product cards: title, price, old price, discount, rating and stock badge in many layouts."""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from valley.data.synthetic import phrases
from valley.data.synthetic.fonts import load, pick_font
from valley.data.synthetic.phrases import DECLINE, ask
from valley.data.synthetic.pictures import insert
from valley.data.synthetic.sample import BLOCK, Marks, Sample, Turn, add_noise, pick, to_grid
from valley.data.synthetic.shapes import draw_shape
from valley.data.synthetic.words import cased, fitting_size, vocabulary, write

PICTURE_SIDES = ("none", "top", "left", "right", "bottom")
ORDERS = (
    ("title", "price", "rating", "stock", "extra"),
    ("price", "title", "stock", "rating", "extra"),
    ("title", "rating", "price", "extra", "stock"),
    ("stock", "title", "extra", "price", "rating"),
    ("rating", "price", "title", "stock", "extra"),
    ("extra", "stock", "price", "rating", "title"),
)
ALIGNS = ("left", "centre", "right")
LAYOUTS = [(s, o, a) for s in PICTURE_SIDES for o in ORDERS for a in ALIGNS]
HELD_OUT_LAYOUTS = LAYOUTS[3::5]
TRAIN_LAYOUTS = [layout for layout in LAYOUTS if layout not in HELD_OUT_LAYOUTS]

IN_STOCK = ("In stock", "In Stock", "IN STOCK", "Available", "Available now", "Ready to ship")
OUT_OF_STOCK = (
    "Out of stock",
    "Out of Stock",
    "OUT OF STOCK",
    "Sold out",
    "SOLD OUT",
    "Unavailable",
    "Not available",
)
EXTRAS = (
    "Free shipping",
    "New",
    "Best seller",
    "Add to cart",
    "Buy now",
    "Limited offer",
    "Free returns",
    "Eco",
    "Top pick",
    "Ships today",
)

PRICE_SIZE = 16
"""Font size in final pixels below which no price is written; no other text is larger."""
ROW, COLUMN = 19, 90
"""Final pixels of height and width that a row of text needs."""

Box = tuple[float, float, float, float]
Text = tuple[str, str, str | None]
"""What is written, its role, and the part of it that has the role if it is not the whole."""


@dataclass
class Facts:
    """What a card says; None for what it leaves out."""

    title: str | None
    price: str | None
    old_price: str | None
    discount: int | None
    rating: str | None
    stock: bool | None


def random_facts(rng: np.random.Generator, held_out: bool = False) -> Facts:
    """Facts with a consistent old price and discount; now and then some are missing."""
    cents = round(100 * 10 ** rng.uniform(0.0, 3.0))
    if rng.random() < 0.4:
        cents = cents // 100 * 100 + pick(rng, (99, 95, 0, 50, 49))
    whole = rng.random() < 0.12
    price = f"${max(1, cents // 100)}" if whole else f"${cents // 100}.{cents % 100:02d}"
    discount = int(rng.integers(1, 20) * 5 if rng.random() < 0.5 else rng.integers(1, 96))
    old = cents / (1 - discount / 100) / 100
    old_price = f"${old:.0f}" if whole else f"${old:.2f}"
    words = vocabulary(held_out)
    title = " ".join(pick(rng, words) for _ in range(1 if rng.random() < 0.6 else 2))
    if not held_out and rng.random() < 0.25:
        length = int(rng.integers(3, 9))
        title = "".join(rng.choice(list(string.ascii_lowercase), length))
    has_discount = rng.random() < 0.5
    return Facts(
        title=title if rng.random() < 0.85 else None,
        price=price if rng.random() < 0.85 else None,
        old_price=old_price if has_discount and rng.random() < 0.6 else None,
        discount=discount if has_discount else None,
        rating=f"{rng.integers(10, 51) / 10:.1f}" if rng.random() < 0.6 else None,
        stock=bool(rng.random() < 0.5) if rng.random() < 0.6 else None,
    )


class _Card:
    """Draws lines of one card from top to bottom inside text areas."""

    def __init__(self, rng: np.random.Generator, grid: tuple[int, int], scale: float, held: bool):
        self.rng, self.held = rng, held
        size = (round(grid[1] * BLOCK * scale), round(grid[0] * BLOCK * scale))
        dark = rng.random() < 0.3
        low, high = (0, 70) if dark else (205, 256)
        self.paper = tuple(int(v) for v in rng.integers(low, high, 3))
        self.image = Image.new("RGB", size, self.paper)
        self.draw = ImageDraw.Draw(self.image)
        self.marks = Marks(size, grid)
        self.dark, self.scale = dark, scale
        self.largest = float(max(size))
        self.font = pick_font(rng, held)
        self.price_font = pick_font(rng, held) if rng.random() < 0.4 else self.font

    def ink(self, vivid: bool = False) -> tuple[int, ...]:
        base = self.rng.integers(185, 256, 3) if self.dark else self.rng.integers(0, 85, 3)
        if vivid:
            base[int(self.rng.integers(3))] = self.rng.integers(150, 256)
        return tuple(int(v) for v in base)

    def line(self, text: Text, box: Box, align: str, path: str, largest: float, badge: bool) -> Box:
        """Writes one line inside the box, maybe on a filled badge; returns its ink box."""
        shown, role, answer = text
        pad = 3 * self.scale if badge else 0.0
        width, height = box[2] - box[0] - 2 * pad, box[3] - box[1] - 2 * pad
        least = (PRICE_SIZE if role == "price" else 9) * self.scale
        largest = min(largest, self.largest)
        size = fitting_size(path, shown, width, height, int(largest), round(least))
        if role == "price":
            self.largest = size
        left, top, right, bottom = load(path, size).getbbox(shown)
        free = max(0.0, width - (right - left))
        x = box[0] + pad + {"left": 0.0, "centre": free / 2, "right": free}[align]
        y = box[1] + pad + max(0.0, height - (bottom - top)) / 2
        fill = self.ink(vivid=self.rng.random() < 0.4)
        if badge:
            plate = (x - pad, y - pad, x + right - left + pad, y + bottom - top + pad)
            self.draw.rounded_rectangle(plate, radius=pad, fill=self.ink(vivid=True))
            fill = self.paper
        canvas = self.draw, self.marks
        return write(*canvas, shown, (x, y), path, size, fill, role=role, answer=answer)

    def strike(self, box: Box) -> None:
        y = (box[1] + box[3]) / 2 + float(self.rng.uniform(-1, 1)) * self.scale
        width = max(1, round(self.scale))
        self.draw.line((box[0] - 2, y, box[2] + 2, y), fill=self.ink(), width=width)

    def star(self, box: Box) -> None:
        r = min((box[3] - box[1]) / 2, (box[2] - box[0]) / 2)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        draw_shape(self.draw, "star", centre, r, (240, 170, 20))


def _split(box: Box, weights: list[float]) -> list[Box]:
    """Cuts a box into columns by weight."""
    total, x, cuts = sum(weights), box[0], []
    for weight in weights:
        width = (box[2] - box[0]) * weight / total
        cuts.append((x, box[1], x + width, box[3]))
        x += width
    return cuts


def _price_row(card: _Card, facts: Facts, box: Box, align: str) -> None:
    """Price, old price and discount side by side, or the price with a smaller row below.

    Beside a price for whose row there is little room nothing is written: those facts become None.
    """
    rng = card.rng
    narrow = box[2] - box[0] < 2.5 * COLUMN * card.scale
    tall = box[3] - box[1] >= 2 * ROW * card.scale
    if facts.price and narrow and not tall:
        facts.discount = facts.old_price = None
    side: list[Text] = []
    if facts.discount is not None:
        shown = pick(rng, ("-{}%", "{}% OFF", "{}% off", "Save {}%", "SAVE {}%"))
        side.append((shown.format(facts.discount), "discount", f"{facts.discount}%"))
    if facts.old_price is not None:
        side.append((facts.old_price, "old price", None))
    if rng.random() < 0.5:
        side.reverse()
    main: list[Text] = [(facts.price, "price", None)] if facts.price else []
    rows = [(box, main + side)]
    if main and side and (narrow or (tall and rng.random() < 0.4)):
        cut = box[1] + (box[3] - box[1]) * 0.55
        rows = [((box[0], box[1], box[2], cut), main), ((box[0], cut, box[2], box[3]), side)]
    for area, parts in rows:
        weights = [1.5 if part[1] == "price" else 1.0 for part in parts]
        for text, cell in zip(parts, _split(area, weights), strict=True):
            inner = (cell[0], cell[1], cell[2] - 4 * card.scale, cell[3])
            sizes = (20, 44) if text[1] == "price" else (12, 24)
            badge = text[1] == "discount" and rng.random() < 0.6
            size = card.scale * float(rng.uniform(*sizes))
            ink = card.line(text, inner, align, card.price_font, size, badge)
            if text[1] == "old price":
                card.strike(ink)


def _rating_row(card: _Card, rating: str, box: Box, align: str) -> None:
    rng = card.rng
    text = rating + pick(rng, ("", "", "/5", " / 5", " stars", f" ({rng.integers(1, 999)})"))
    if rng.random() < 0.3:
        text = "Rating " + text
    size = card.scale * float(rng.uniform(12, 26))
    height = min(box[3] - box[1], size)
    if rng.random() < 0.6:
        middle = (box[1] + box[3]) / 2
        star = (box[0], middle - height / 2, box[0] + height, middle + height / 2)
        card.star(star)
        box, align = (box[0] + height + 3 * card.scale, box[1], box[2], box[3]), "left"
    card.line((text, "rating", rating), box, align, card.font, size, badge=False)


def _row(card: _Card, name: str, facts: Facts, box: Box, align: str) -> None:
    rng = card.rng
    if name == "price":
        _price_row(card, facts, box, align)
    elif name == "rating":
        _rating_row(card, facts.rating or "", box, align)
    elif name == "title":
        shown = cased(rng, facts.title or "")
        shown = shown.title() if shown.istitle() or rng.random() < 0.3 else shown
        size = card.scale * rng.uniform(14, 34)
        card.line((shown, "title", None), box, align, card.font, size, badge=False)
    elif name == "stock":
        text = pick(rng, IN_STOCK if facts.stock else OUT_OF_STOCK)
        size = card.scale * rng.uniform(12, 22)
        role = "in stock" if facts.stock else "out of stock"
        card.line((text, role, None), box, align, card.font, size, badge=rng.random() < 0.5)
    else:
        text, size = pick(rng, EXTRAS), card.scale * rng.uniform(11, 18)
        card.line((text, "other", None), box, align, card.font, size, badge=False)


def _rows_of(facts: Facts, order: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    shown = {
        "title": facts.title is not None,
        "price": facts.price is not None or facts.discount is not None,
        "rating": facts.rating is not None,
        "stock": facts.stock is not None,
        "extra": rng.random() < 0.3,
    }
    return [name for name in order if shown[name]]


def _leave_out(facts: Facts, rows: list[str], room: int, rng: np.random.Generator) -> list[str]:
    """The rows for which there is room, the price among them; the facts lose the others."""
    others = [name for name in rows if name != "price"]
    for index in rng.permutation(len(others))[: max(0, len(rows) - room)]:
        rows = [name for name in rows if name != others[int(index)]]
        if others[int(index)] != "extra":
            setattr(facts, others[int(index)], None)
    return rows


def _areas(
    card: _Card, side: str, margin: float, rows: int
) -> tuple[list[Box], int, tuple[int, int, int, int] | None]:
    """Text areas (columns), rows that fit one, and the picture's box for a side it can have."""
    width, height = card.image.size
    ratio = width / height
    if ratio > 1.8 and side in ("top", "bottom"):
        side = "left" if side == "top" else "right"
    if ratio < 0.6 and side in ("left", "right"):
        side = "top" if side == "left" else "bottom"
    share = float(card.rng.uniform(0.2, 0.42))
    cut = {"left": height, "right": height, "top": width, "bottom": width}.get(side, 0)
    depth = min((width if side in ("left", "right") else height) * share, cut * 1.2)
    text, picture = (0.0, 0.0, float(width), float(height)), None
    if side == "left":
        text, picture = (depth, 0.0, width, height), (0, 0, int(depth), height)
    elif side == "right":
        text, picture = (0.0, 0.0, width - depth, height), (int(width - depth), 0, width, height)
    elif side == "top":
        text, picture = (0.0, depth, width, height), (0, 0, width, int(depth))
    elif side == "bottom":
        text, picture = (0.0, 0.0, width, height - depth), (0, int(height - depth), width, height)
    inner = (text[0] + margin, text[1] + margin, text[2] - margin, text[3] - margin)
    per_column = max(1, int((inner[3] - inner[1]) / (ROW * card.scale)))
    most = max(1, min(3, int((inner[2] - inner[0]) / (COLUMN * card.scale))))
    columns = max(1, min(most, -(-rows // per_column)))
    return _split(inner, [1.0] * columns), per_column, picture


def draw_card(
    rng: np.random.Generator,
    grid: tuple[int, int],
    facts: Facts,
    scale: float,
    held_out: bool = False,
) -> _Card:
    """A card that states the facts, drawn at `scale` pixels for each final pixel.

    Facts for which it has no room become None.
    """
    side, order, align = pick(rng, HELD_OUT_LAYOUTS if held_out else TRAIN_LAYOUTS)
    card = _Card(rng, grid, scale, held_out)
    rows = _rows_of(facts, order, rng)
    margin = float(rng.uniform(3, 9)) * scale
    # A row more, because the price's is higher than the others.
    areas, per_column, picture = _areas(card, side, margin, len(rows) + 1)
    rows = _leave_out(facts, rows, max(1, len(areas) * per_column - 1), rng)
    if picture:
        insert(rng, card.image, picture)
        card.marks.picture(picture)
    boxes: list[tuple[str, Box]] = []
    per_column = -(-len(rows) // len(areas))
    for index, area in enumerate(areas):
        names = rows[index * per_column : (index + 1) * per_column]
        weights = [{"price": 1.8, "title": 1.3}.get(name, 1.0) for name in names]
        y, total = area[1], sum(weights)
        for name, weight in zip(names, weights, strict=True):
            height = (area[3] - area[1]) * weight / total
            gap = min(3 * scale, height * 0.12)
            boxes.append((name, (area[0], y, area[2] - 2 * scale, y + height - gap)))
            y += height
    # The price first: no other text is larger.
    for name, box in sorted(boxes, key=lambda pair: pair[0] != "price"):
        _row(card, name, facts, box, align)
    return card


def card_sample(
    rng: np.random.Generator,
    grid: tuple[int, int],
    questions: int = 4,
    held_out: bool = False,
    scale: float | None = None,
) -> Sample:
    """One card with questions about its facts, for training."""
    scale = scale or (1.0 if rng.random() < 0.6 else float(rng.uniform(0.9, 2.2)))
    facts = random_facts(rng, held_out)
    card = draw_card(rng, grid, facts, scale, held_out)
    frame = to_grid(card.image, grid)
    if rng.random() < 0.25:
        frame = add_noise(rng, frame, float(rng.uniform(1, 6)))
    return Sample([frame], card_dialog(rng, facts, questions), card.marks.array[None])


def card_dialog(rng: np.random.Generator, facts: Facts, questions: int) -> list[Turn]:
    """Questions about the facts, the price often first; what the card leaves out is declined."""
    stock = None if facts.stock is None else ("Yes" if facts.stock else "No")
    discount = None if facts.discount is None else f"{facts.discount}%"
    pairs = [
        (phrases.PRICE, facts.price),
        (phrases.DISCOUNT, discount),
        (phrases.RATING, facts.rating),
        (phrases.STOCK, stock),
        (phrases.TITLE, facts.title),
    ]
    dialog = []
    for wordings, answer in pairs:
        dialog.append(Turn(ask(rng, wordings), DECLINE if answer is None else answer))
    if rng.random() < 0.1:
        dialog.append(Turn(ask(rng, phrases.SCENE), "A product card."))
    order = [int(i) for i in rng.permutation(len(dialog))]
    if rng.random() < 0.3:
        order = sorted(order, key=bool)
    return [dialog[i] for i in order][:questions]
