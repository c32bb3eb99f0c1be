"""Product understanding: what a product is, its colour, its pattern, how many, of what."""

from __future__ import annotations

from dataclasses import replace

from valley.evaluate.products.cards import card
from valley.evaluate.products.goods import (
    SEEN,
    Product,
    four_prices,
    four_titles,
    price_text,
    random_offer,
    random_product,
)
from valley.evaluate.products.questions import Lot, Pictures, Question, choice, word
from valley.evaluate.products.scenes import neighbours, photo
from valley.evaluate.products.words import COLOURS, KINDS, MATERIALS, PATTERNS, plural, say


def scene(lot: Lot, product: Product) -> Pictures:
    """A picture of the product, among others on higher levels."""
    others = neighbours(lot.rng, product, (0, 1, 3)[lot.level])
    return (photo(lot.rng, product, lot.level, others),)


def colour_question(lot: Lot, product: Product) -> str:
    kind = say(product.kind, lot.language)
    return lot.say(f"What color is the {kind}?", f"图中的{kind}是什么颜色？")


def asked(lot: Lot) -> Question:
    """Colour, pattern or number of pieces, in words."""
    topic, number = lot.turn % 3, lot.turn // 3 % 4 + 1
    product = random_product(lot.rng, number if topic == 2 else 1)
    kind, pictures = say(product.kind, lot.language), scene(lot, product)
    if topic == 0:
        return word(lot, colour_question(lot, product), product.colour, tuple(COLOURS), pictures)
    if topic == 1:
        text = lot.say(
            f"Is the {kind} plain, striped, dotted or checked?",
            f"图中的{kind}是纯色、条纹、波点还是格子？",
        )
        return word(lot, text, product.pattern, tuple(PATTERNS), pictures)
    text = lot.say(f"How many {plural(kind)} are in the picture?", f"图中{kind}的数量是多少？")
    return Question(text, str(number), pictures, "number")


def chosen(lot: Lot) -> Question:
    """What it is, what describes it best, or the material that its card names."""
    product, place = random_product(lot.rng), lot.turn % 4
    topic = lot.turn // 4 % 3
    if topic == 0:
        kinds = [k for k in lot.rng.sample(tuple(KINDS), 4) if k != product.kind][:3]
        options = [say(kind, lot.language) for kind in (product.kind, *kinds)]
        pictures = (photo(lot.rng, product, lot.level),)
        return choice(
            lot, lot.say("What product is this?", "这是什么商品？"), options, pictures, place
        )
    if topic == 1:
        options = [item.title(lot.language) for item in four_titles(lot.rng, product)]
        text = lot.say("Which describes the product in front best?", "哪一项最符合前面的商品？")
        return choice(lot, text, options, scene(lot, product), place)
    offer = random_offer(lot.rng, lot.language)
    materials = [m for m in lot.rng.sample(tuple(MATERIALS), 4) if m != offer.material][:3]
    options = [say(material, lot.language) for material in (offer.material, *materials)]
    text = lot.say("What is the product made of?", "商品是什么材质的？")
    pictures = (card(lot.rng, offer, lot.language, lot.level),)
    return choice(lot, text, options, pictures, place)


def ranked(lot: Lot) -> Question:
    """Colours, descriptions or prices in the order that the model finds likely."""
    product, place = random_product(lot.rng), lot.turn % 4
    topic = lot.turn // 4 % 3
    if topic == 0:
        colours = [c for c in lot.rng.sample(SEEN["colour"], 4) if c != product.colour][:3]
        options = [say(colour, lot.language) for colour in (product.colour, *colours)]
        return choice(lot, colour_question(lot, product), options, scene(lot, product), place)
    if topic == 1:
        options = [item.title(lot.language) for item in four_titles(lot.rng, product)]
        text = lot.say("What is this product called?", "这件商品叫什么？")
        return choice(lot, text, options, (photo(lot.rng, product, lot.level),), place)
    offer = replace(random_offer(lot.rng, lot.language), old_price=None)
    options = [price_text(p, lot.language) for p in four_prices(lot.rng, offer.price)]
    pictures = (card(lot.rng, offer, lot.language, lot.level),)
    return choice(lot, lot.say("What is the price?", "价格是多少？"), options, pictures, place)
