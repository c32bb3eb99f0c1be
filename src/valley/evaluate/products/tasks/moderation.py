"""Moderation: a rule in words, a picture or clip, and whether it is kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from PIL import Image

from valley.evaluate.products.cards import Marks, card, random_contact
from valley.evaluate.products.goods import changed, random_offer, random_product
from valley.evaluate.products.live import clip, random_studio
from valley.evaluate.products.questions import Lot, Question, choice, yes_no
from valley.evaluate.products.tasks.live import price_course, with_contact

RULES = {
    "contact": (
        "No phone number, WeChat ID or QR code may be shown.",
        "不得出现电话号码、微信号或二维码。",
    ),
    "claim": ("Nothing may be called the best or the first.", "不得使用“第一”等绝对化用语。"),
    "stamp": ("No words may be stamped across the product.", "商品上不得覆盖水印文字。"),
    "stranger": ("Only one kind of product may be shown.", "只能展示一种商品。"),
    "no_price": ("The price must be shown.", "必须标明价格。"),
    "old_price": (
        "A price that is struck out must be higher than the price asked.",
        "划线价必须高于现价。",
    ),
}
PRICE_RULE = ("The price may not rise during a clip.", "直播中价格不得上涨。")
#: Rules that are asked about singly; those of clips as often as those of pictures together.
SINGLE = (*RULES, *("clip price", "clip contact") * 3)


def asked(lot: Lot) -> Question:
    """One rule: broken or not."""
    broken, rule = lot.heads(), SINGLE[lot.turn // 2 % len(SINGLE)]
    in_clip = rule.startswith("clip")
    words = PRICE_RULE if rule == "clip price" else RULES[rule.removeprefix("clip ")]
    if rule == "clip price":
        course = "rises" if broken else lot.rng.choice(("falls", "stays the same"))
        moments, _ = price_course(lot, course)
        shelf = [random_product(lot.rng) for _ in range(2)]
        pictures = clip(lot.rng, random_studio(lot.rng, shelf), moments, lot.language)
    elif in_clip:
        pictures = with_contact(lot, broken)
    else:
        pictures = (_card(lot, rule if broken else ""),)
    rule_text = lot.say(*words)
    text = (
        lot.say(
            f"Rule: {rule_text} Does the clip break the rule?",
            f"规则：{rule_text}该视频违反规则吗？",
        )
        if in_clip
        else lot.say(
            f"Rule: {rule_text} Does the picture break the rule?",
            f"规则：{rule_text}该图片违反规则吗？",
        )
    )
    return yes_no(lot, text, broken, pictures, clip=in_clip)


def chosen(lot: Lot) -> Question:
    """Four rules, one of which is broken."""
    rules = list(RULES)
    broken = rules.pop(lot.turn % len(rules))
    options = [lot.say(*RULES[rule]) for rule in (broken, *lot.rng.sample(rules, 3))]
    text = lot.say("Which of these rules does the picture break?", "该图片违反了以下哪条规则？")
    place = lot.turn // len(RULES) % 4
    return choice(lot, text, options, (_card(lot, broken),), place)


def _card(lot: Lot, broken: str) -> Image.Image:
    """A card that breaks one rule, or none."""
    rng = lot.rng
    offer = random_offer(rng, lot.language)
    share = Decimal(rng.randrange(60, 90)) / 100
    factor = share if broken == "old_price" else 1 / share
    offer = replace(offer, old_price=(offer.price * factor).quantize(Decimal("0.01")))
    stranger = changed(rng, random_product(rng), "kind") if broken == "stranger" else None
    if stranger and stranger.kind == offer.product.kind:
        stranger = changed(rng, stranger, "kind")
    contact = random_contact(rng, lot.language, rng.choice(("phone", "WeChat", "QR code")))
    marks = Marks(
        contact=contact if broken == "contact" else None,
        claim=broken == "claim",
        stamp=broken == "stamp",
        stranger=stranger,
        no_price=broken == "no_price",
    )
    return card(rng, offer, lot.language, lot.level, marks)
