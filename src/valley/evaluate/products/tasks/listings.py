"""Attribute JSON: a card as a record that follows a schema."""

from __future__ import annotations

from valley.evaluate.products.cards import card
from valley.evaluate.products.goods import random_offer, random_product
from valley.evaluate.products.listing import listing_of, schema
from valley.evaluate.products.questions import Lot, Question


def written(lot: Lot) -> Question:
    product = random_product(lot.rng, lot.turn % 4 + 1)
    offer = random_offer(lot.rng, lot.language, product)
    text = lot.say(
        "Describe the offer on the card as one JSON object that follows this schema, "
        f"and write nothing else. {schema(lot.language)}",
        f"请按照以下模式把卡片上的商品信息写成一个JSON对象，不要写其他内容。{schema(lot.language)}",
    )
    picture = card(lot.rng, offer, lot.language, lot.level)
    return Question(text, listing_of(offer, lot.language).model_dump_json(), (picture,))
