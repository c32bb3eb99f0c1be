"""Price and contact text: exact amounts among others, numbers and names that lead off the shop."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from valley.evaluate.products.cards import Contact, ContactKind, Marks, card, random_contact
from valley.evaluate.products.goods import Offer, four_prices, price_text, random_offer
from valley.evaluate.products.questions import Lot, Pictures, Question, choice, yes_no

CONTACTS: tuple[tuple[ContactKind | None, str, str], ...] = (
    ("phone", "A phone number", "电话号码"),
    ("WeChat", "A WeChat ID", "微信号"),
    ("QR code", "A QR code", "二维码"),
    (None, "None", "没有"),
)


def asked(lot: Lot) -> Question:
    """The price, the price before, a phone number or WeChat ID, or whether there is one."""
    topic, offer = lot.turn % 4, _reduced(lot)
    if topic < 2:
        text = (
            lot.say("What is the price?", "价格是多少？")
            if topic == 0
            else lot.say("What was the price before?", "原价是多少？")
        )
        amount = offer.old_price if topic else offer.price
        pictures = (card(lot.rng, offer, lot.language, lot.level),)
        return Question(text, str(amount), pictures, "price")
    kind: ContactKind = ("phone", "WeChat")[lot.turn // 4 % 2]
    if topic == 2:
        contact = random_contact(lot.rng, lot.language, kind)
        what = lot.say(
            "phone number" if kind == "phone" else "WeChat ID",
            "电话号码" if kind == "phone" else "微信号",
        )
        text = lot.say(f"What {what} is in the picture?", f"图中的{what}是什么？")
        return Question(text, contact.text, _with(lot, offer, contact), "code")
    contact = random_contact(lot.rng, lot.language, lot.rng.choice(("phone", "WeChat", "QR code")))
    text = lot.say(
        "Does the picture hold a phone number, a WeChat ID or a QR code?",
        "图中有电话号码、微信号或二维码吗？",
    )
    return yes_no(lot, text, lot.heads(4), _with(lot, offer, contact if lot.heads(4) else None))


def chosen(lot: Lot) -> Question:
    """The price, what is saved, or the kind of contact."""
    topic, place, offer = lot.turn // 4 % 3, lot.turn % 4, _reduced(lot)
    if topic == 2:
        kind = CONTACTS[place][0]
        contact = random_contact(lot.rng, lot.language, kind) if kind else None
        names = [lot.say(english, chinese) for _, english, chinese in CONTACTS]
        options = [names.pop(place), *names]
        text = lot.say(
            "What way to contact the seller does the picture give?", "图中有哪种联系卖家的方式？"
        )
        return choice(lot, text, options, _with(lot, offer, contact))
    amount, text = offer.price, lot.say("What is the price?", "价格是多少？")
    if topic == 1:
        amount = (offer.old_price or Decimal(0)) - offer.price
        text = lot.say("How much less is the price than the price before?", "现价比原价便宜多少？")
    options = [price_text(price, lot.language) for price in four_prices(lot.rng, amount)]
    return choice(lot, text, options, (card(lot.rng, offer, lot.language, lot.level),), place)


def _reduced(lot: Lot) -> Offer:
    """An offer that names an old price too."""
    offer = random_offer(lot.rng, lot.language)
    rise = Decimal(lot.rng.randrange(110, 190)) / 100
    return replace(offer, old_price=(offer.price * rise).quantize(Decimal("0.01")))


def _with(lot: Lot, offer: Offer, contact: Contact | None) -> Pictures:
    return (card(lot.rng, offer, lot.language, lot.level, Marks(contact=contact)),)
