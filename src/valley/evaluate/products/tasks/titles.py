"""Title-picture consistency: does what a shop says fit what it shows, and where does it not."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from valley.evaluate.products.cards import Marks, card
from valley.evaluate.products.goods import (
    Product,
    changed,
    four_titles,
    other,
    random_offer,
    random_product,
)
from valley.evaluate.products.questions import Lot, Question, choice, yes_no
from valley.evaluate.products.scenes import photo

ASPECTS = {
    "kind": ("The kind of product", "商品种类"),
    "colour": ("The colour", "颜色"),
    "pattern": ("The pattern", "图案"),
    "": ("Nothing, it fits", "没有不符之处"),
}


def asked(lot: Lot) -> Question:
    """A title, in the question or on the card, that fits or has one thing wrong."""
    shown = random_product(lot.rng, lot.rng.randint(1, 4))
    title = (shown if lot.heads() else _wrong(lot, shown)).title(lot.language)
    if lot.heads(2):
        pictures = (photo(lot.rng, shown, lot.level),)
        text = lot.say(
            f"A shop calls this product “{title}”. Does the title fit the picture?",
            f"店铺给这件商品的标题是“{title}”。标题与图片相符吗？",
        )
    else:
        pictures = (_card(lot, shown, title),)
        text = lot.say(
            "Does the title on the card fit the product in its picture?",
            "卡片上的标题与图中的商品相符吗？",
        )
    return yes_no(lot, text, lot.heads(), pictures)


def _wrong(lot: Lot, product: Product) -> Product:
    """The product with another kind, colour, pattern or number of pieces; subtler on higher
    levels."""
    what = lot.rng.choice(
        (("kind", "colour"), ("colour", "pattern"), ("pattern", "pieces"))[lot.level]
    )
    if what == "pieces":
        return replace(product, pieces=other(lot.rng, (1, 2, 3, 4), product.pieces))
    return changed(lot.rng, product, what)


def _card(lot: Lot, product: Product, title: str) -> Image.Image:
    offer = random_offer(lot.rng, lot.language, product)
    return card(lot.rng, offer, lot.language, lot.level, Marks(title=title))


def chosen(lot: Lot) -> Question:
    """What is wrong in the title on a card."""
    wrong = tuple(ASPECTS)[lot.turn % 4]
    shown = random_product(lot.rng)
    title = (changed(lot.rng, shown, wrong) if wrong else shown).title(lot.language)
    words = {what: lot.say(*names) for what, names in ASPECTS.items()}
    options = [words[wrong], *(name for what, name in words.items() if what != wrong)]
    text = lot.say(
        "What in the title on the card does not fit the product in its picture?",
        "卡片标题的哪一项与图中的商品不符？",
    )
    return choice(lot, text, options, (_card(lot, shown, title),))


def ranked(lot: Lot) -> Question:
    """Titles in the order that the model finds likely for a picture."""
    product = random_product(lot.rng, lot.rng.randint(1, 3))
    options = [item.title(lot.language) for item in four_titles(lot.rng, product)]
    text = lot.say("Write a title for the product in the picture.", "请为图中的商品写一个标题。")
    return choice(lot, text, options, (photo(lot.rng, product, lot.level),), lot.turn % 4)
