"""Clips of live sales: what happens when, and which product is shown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from valley.evaluate.products.cards import random_contact
from valley.evaluate.products.goods import (
    Product,
    changed,
    four_titles,
    random_price,
    random_product,
)
from valley.evaluate.products.live import FRAMES, Moment, clip, random_studio
from valley.evaluate.products.questions import Lot, Pictures, Question, choice, word
from valley.evaluate.products.words import COLOURS, COURSES

EVENTS = (
    ("The price changes", "价格变化"),
    ("A coupon appears", "出现优惠券"),
    ("Another product comes", "换了另一件商品"),
    ("The product sells out", "商品售罄"),
)
PARTS = (
    ("At the beginning", "开头"),
    ("In the middle", "中间"),
    ("At the end", "结尾"),
    ("Never", "没有出现"),
)


def asked(lot: Lot) -> Question:
    """The last price, which way it goes, or the colour of what is shown last."""
    topic = lot.turn % 3
    if topic == 2:
        first = random_product(lot.rng)
        last = changed(lot.rng, changed(lot.rng, first, "colour"), "kind")
        turn = lot.rng.randint(3, 5)
        moments = _still(first, random_price(lot.rng), turn) + _still(
            last, random_price(lot.rng), FRAMES - turn
        )
        text = lot.say(
            "What color is the product that is shown last?", "最后展示的商品是什么颜色？"
        )
        return word(lot, text, last.colour, tuple(COLOURS), _film(lot, moments), clip=True)
    course = tuple(COURSES)[lot.turn // 3 % 3]
    moments, last_price = price_course(lot, course)
    if topic == 0:
        text = lot.say("What is the price at the end of the clip?", "视频结尾的价格是多少？")
        return Question(text, str(last_price), _film(lot, moments), "price", clip=True)
    text = lot.say(
        "During the clip the price falls, rises or stays the same: which?",
        "视频中价格是下降、上升还是不变？",
    )
    return word(lot, text, course, tuple(COURSES), _film(lot, moments), clip=True)


def price_course(lot: Lot, course: str) -> tuple[list[Moment], Decimal]:
    """A clip in which the price goes one way or stays, and the price at its end."""
    product, price = random_product(lot.rng), random_price(lot.rng, 10)
    share = Decimal(lot.rng.randrange(40, 90)) / 100
    factor = {"falls": share, "rises": 1 / share, "stays the same": Decimal(1)}[course]
    last = (price * factor).quantize(Decimal("0.01"))
    turn = lot.rng.randint(2, 6)
    return _still(product, price, turn) + _still(product, last, FRAMES - turn), last


def chosen(lot: Lot) -> Question:
    """What happens first, or in which part of the clip a coupon appears."""
    if lot.turn // 4 % 2:
        return _order(lot)
    part = lot.turn % 4
    product, price = random_product(lot.rng), random_price(lot.rng)
    starts = ((0, 1), (3, 4), (6, 6))
    since = lot.rng.choice(starts[part]) if part < 3 else FRAMES
    # It goes again, or its mere presence at the end would tell the three parts from the fourth.
    moments = [
        replace(m, coupon=since <= i < since + 2)
        for i, m in enumerate(_still(product, price, FRAMES))
    ]
    names = [lot.say(*names) for names in PARTS]
    text = lot.say(
        "In which part of the clip does a coupon appear?", "优惠券在视频的哪一部分出现？"
    )
    return choice(lot, text, [names.pop(part), *names], _film(lot, moments), clip=True)


def _order(lot: Lot) -> Question:
    """Four things happen one after another; which comes first."""
    first = lot.turn % 4
    rest = [event for event in range(4) if event != first]
    lot.rng.shuffle(rest)
    since = dict(zip((first, *rest), (1, 3, 5, 7), strict=True))
    products = random_product(lot.rng), random_product(lot.rng)
    prices = random_price(lot.rng), random_price(lot.rng)
    moments = [
        Moment(
            products[frame >= since[2]],
            prices[frame >= since[0]],
            coupon=frame >= since[1],
            sold_out=frame >= since[3],
        )
        for frame in range(FRAMES)
    ]
    names = [lot.say(*names) for names in EVENTS]
    text = lot.say("What happens first in the clip?", "视频中最先发生的是什么？")
    return choice(lot, text, [names.pop(first), *names], _film(lot, moments), clip=True)


def matched(lot: Lot) -> Question:
    """Which product stands on the table, while others like it stand on the shelf."""
    return _match(
        lot,
        lot.say(
            "Which product is on the table in front of the host?", "主播面前桌上的是哪件商品？"
        ),
    )


def ranked(lot: Lot) -> Question:
    """Names of the product on the table in the order that the model finds likely."""
    return _match(
        lot,
        lot.say(
            "Name the product on the table in front of the host.", "请说出主播面前桌上的商品名称。"
        ),
    )


def _match(lot: Lot, text: str) -> Question:
    products = four_titles(lot.rng, random_product(lot.rng))
    shelf = lot.rng.sample(products[1:], 2)
    shown = products[0]
    seen = (FRAMES, 5, 2)[lot.level]
    start = lot.rng.randint(0, FRAMES - seen)
    moments = []
    for frame in range(FRAMES):
        there = start <= frame < start + seen
        size, place = lot.rng.uniform(0.32, 0.5), 0.5 + lot.rng.uniform(-0.16, 0.16)
        moments.append(
            Moment(shown if there else None, size=size, place=place, turned=frame % 2 > 0)
        )
    options = [product.title(lot.language) for product in products]
    pictures = clip(lot.rng, random_studio(lot.rng, shelf), moments, lot.language)
    return choice(lot, text, options, pictures, lot.turn % 4, clip=True)


def _still(product: Product, price: Decimal, number: int) -> list[Moment]:
    return [Moment(product, price)] * number


def _film(lot: Lot, moments: list[Moment]) -> Pictures:
    """The clip in any studio."""
    shelf = [random_product(lot.rng) for _ in range(2)]
    return clip(lot.rng, random_studio(lot.rng, shelf), moments, lot.language)


def with_contact(lot: Lot, there: bool) -> Pictures:
    """A clip in which a way to reach the host is shown for a while, or not."""
    contact = random_contact(lot.rng, lot.language, lot.rng.choice(("phone", "WeChat")))
    moments = _still(random_product(lot.rng), random_price(lot.rng), FRAMES)
    start = lot.rng.randint(1, 5)
    if there:
        for frame in range(start, start + 3 - lot.level // 2):
            moments[frame] = replace(moments[frame], contact=contact)
    return _film(lot, moments)
