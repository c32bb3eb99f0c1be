"""Look-alikes: the same product in another light, or one that only looks like it."""

from __future__ import annotations

from dataclasses import replace

from valley.evaluate.products.goods import SEEN, Product, changed, other, random_product
from valley.evaluate.products.questions import LETTERS, Lot, Question, yes_no
from valley.evaluate.products.scenes import line_up, photo

#: In what two products differ, by level.
DIFFERENCES = (("kind", "colour"), ("colour", "pattern"), ("pattern", "grain"))
GRAINS = (3, 6)


def asked(lot: Lot) -> Question:
    """Two pictures: the same product or not."""
    product = _product(lot)
    what = lot.rng.choice(DIFFERENCES[lot.level])
    second = product if lot.heads() else _differing(lot, product, what)
    pictures = (photo(lot.rng, product, 0), photo(lot.rng, second, lot.rng.randrange(2)))
    text = lot.say("Do the two pictures show the same product?", "两张图片中是同一件商品吗？")
    return yes_no(lot, text, lot.heads(), pictures)


def chosen(lot: Lot) -> Question:
    """One picture: which of four products below is the one above."""
    product = _product(lot)
    first, second = DIFFERENCES[lot.level]
    one, two = _differing(lot, product, first), _differing(lot, product, second)
    both = replace(one, **{second: getattr(two, second)})
    wrong = [one, two, both]
    lot.rng.shuffle(wrong)
    place = lot.turn % 4
    wrong.insert(place, product)
    text = lot.say(
        "Which of the products marked A, B, C and D is the same as the one above them?",
        "标有A、B、C、D的商品中，哪一件与上方的商品相同？",
    )
    options = tuple(
        lot.say(f"the one marked {letter}", f"标有{letter}的商品") for letter in LETTERS
    )
    picture = line_up(lot.rng, product, wrong)
    return Question(text, LETTERS[place], (picture,), options=options)


def _product(lot: Lot) -> Product:
    """One with a pattern where its pattern decides."""
    product = replace(random_product(lot.rng), grain=lot.rng.choice(GRAINS))
    if lot.level < 2:
        return product
    return replace(product, pattern=other(lot.rng, SEEN["pattern"], "plain"))


def _differing(lot: Lot, product: Product, what: str) -> Product:
    if what == "grain":
        return replace(product, grain=other(lot.rng, GRAINS, product.grain))
    if what == "pattern" and lot.level == 2:
        return replace(product, pattern=other(lot.rng, SEEN["pattern"], "plain", product.pattern))
    return changed(lot.rng, product, what)
