"""Extreme shapes: pages and banners that are 5 to 20 times as long as wide."""

from __future__ import annotations

from decimal import Decimal

from valley.evaluate.products.goods import (
    Offer,
    Product,
    four_prices,
    price_text,
    random_offer,
    random_price,
    random_product,
)
from valley.evaluate.products.questions import Lot, Pictures, Question, choice, word
from valley.evaluate.products.scenes import RATIOS, banner, detail_page
from valley.evaluate.products.words import KINDS, MATERIALS, plural, say


def asked(lot: Lot) -> Question:
    """On a page: the price or the material. On a banner: a price, or how many of a kind."""
    topic = lot.turn % 4
    if topic < 2:
        offer, pictures = _page(lot)
        if topic == 0:
            return Question(
                lot.say("What is the price?", "价格是多少？"), str(offer.price), pictures, "price"
            )
        text = lot.say("What material does the page name?", "页面上写的材质是什么？")
        return word(lot, text, offer.material, tuple(MATERIALS), pictures)
    if topic == 2:
        shelf = _shelf(lot)
        product, price = lot.rng.choice(shelf)
        title = product.title(lot.language)
        text = lot.say(f"What is the price of the {title}?", f"{title}的价格是多少？")
        return Question(text, str(price), (banner(lot.rng, shelf, lot.language),), "price")
    number = lot.turn // 4 % 4 + 1
    kind = lot.rng.choice(tuple(KINDS))
    shelf = _shelf(lot, kind, number)
    word_of_kind = say(kind, lot.language)
    text = lot.say(
        f"How many {plural(word_of_kind)} are on the banner?", f"横幅上{word_of_kind}的数量是多少？"
    )
    return Question(text, str(number), (banner(lot.rng, shelf, lot.language),), "number")


def chosen(lot: Lot) -> Question:
    """On a page: the height. On a banner: which product has a price."""
    place = lot.turn % 4
    if lot.turn // 4 % 2:
        offer, pictures = _page(lot)
        options = [price_text(price, lot.language) for price in four_prices(lot.rng, offer.price)]
        return choice(lot, lot.say("What is the price?", "价格是多少？"), options, pictures, place)
    shelf = _shelf(lot)
    offers = lot.rng.sample(shelf, 4)
    price = price_text(offers[0][1], lot.language)
    options = [product.title(lot.language) for product, _ in offers]
    text = lot.say(f"Which product costs {price}?", f"哪件商品的价格是{price}？")
    return choice(lot, text, options, (banner(lot.rng, shelf, lot.language),), place)


def _page(lot: Lot) -> tuple[Offer, Pictures]:
    offer = random_offer(lot.rng, lot.language)
    facts = [
        ("brand", offer.brand),
        ("material", say(offer.material, lot.language)),
        ("weight", f"{lot.rng.randrange(80, 990)} g"),
        ("height", f"{lot.rng.randrange(8, 60)} cm"),
        ("price", price_text(offer.price, lot.language)),
    ]
    lot.rng.shuffle(facts)
    return offer, (detail_page(lot.rng, offer, facts, lot.language, lot.level),)


def _shelf(lot: Lot, kind: str = "", number: int = 0) -> list[tuple[Product, Decimal]]:
    """Different products with their prices; of one kind exactly so many, where it is given."""
    length = lot.rng.randint(*RATIOS[lot.level])
    products: list[Product] = []
    while len(products) < length:
        product = random_product(lot.rng)
        of_kind = sum(other.kind == kind for other in products)
        wanted = (
            of_kind < number if product.kind == kind else length - len(products) > number - of_kind
        )
        known = any(product.title("en") == other.title("en") for other in products)
        if (wanted or not kind) and not known:
            products.append(product)
    lot.rng.shuffle(products)
    return [(product, random_price(lot.rng)) for product in products]
