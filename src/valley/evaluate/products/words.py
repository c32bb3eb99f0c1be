"""What is said in the pictures and the questions, in English and Chinese."""

from __future__ import annotations

from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: tuple[Language, Language] = ("en", "zh")

KINDS = {
    "mug": "马克杯",
    "T-shirt": "T恤",
    "handbag": "手提包",
    "table lamp": "台灯",
    "bottle": "水瓶",
    "cap": "帽子",
    "umbrella": "雨伞",
    "cushion": "抱枕",
    "vase": "花瓶",
    "teapot": "茶壶",
    "dress": "连衣裙",
    "candle": "蜡烛",
    "notebook": "笔记本",
    "sock": "袜子",
    "bowl": "碗",
    "backpack": "双肩包",
}
COLOURS = {
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "black": "黑色",
    "white": "白色",
}
PATTERNS = {"plain": "纯色", "striped": "条纹", "dotted": "波点", "checked": "格子"}
MATERIALS = {
    "cotton": "棉",
    "ceramic": "陶瓷",
    "glass": "玻璃",
    "bamboo": "竹",
    "steel": "钢",
    "leather": "皮革",
    "linen": "亚麻",
    "wool": "羊毛",
}
COURSES = {"falls": "下降", "rises": "上升", "stays the same": "不变"}
#: Other ways to say a value, read as the value itself.
ALIASES = {
    "plain": ("solid", "single colour", "single color", "无图案", "素色"),
    "striped": ("stripes", "stripe", "stripy"),
    "dotted": ("dots", "polka dot", "polka dots", "polka-dot", "圆点"),
    "checked": ("checks", "checkered", "chequered", "checkerboard", "plaid", "格纹"),
    "red": ("红",),
    "orange": ("橙", "橘色", "橘"),
    "yellow": ("黄",),
    "green": ("绿",),
    "blue": ("蓝",),
    "purple": ("violet", "紫"),
    "pink": ("粉红色", "粉"),
    "black": ("黑",),
    "white": ("白",),
    "falls": ("fall", "falling", "fell", "drops", "drop", "decreases", "goes down", "降"),
    "rises": ("rise", "rising", "rose", "increases", "goes up", "上涨", "涨"),
    "stays the same": ("stay the same", "same", "stays", "unchanged", "constant", "没有变化"),
}

#: What stands on cards, frames and strips.
LABELS = {
    "in stock": "有货",
    "sold out": "售罄",
    "free shipping": "包邮",
    "new": "新品",
    "sold": "已售",
    "buy now": "立即购买",
    "brand": "品牌",
    "material": "材质",
    "weight": "重量",
    "height": "高度",
    "price": "价格",
    "call": "电话",
    "WeChat": "微信",
    "scan me": "扫码联系",
    "the best in the world": "全球第一",
    "sample": "样品",
    "live": "直播中",
    "watching": "人在看",
    "coupon": "优惠券",
    "deal": "特价",
}
CHATTER = {
    "so pretty": "好好看",
    "is it large?": "尺寸大吗",
    "just bought one": "刚下单了",
    "love it": "太喜欢了",
    "how long is shipping?": "几天能到",
    "hello": "主播好",
    "more please": "再来一件",
    "nice": "不错",
}

EN_SYLLABLES = ("ba", "ki", "lo", "mu", "ne", "pa", "ri", "so", "ta", "ve", "yo", "zu", "da", "fe")
ZH_SYLLABLES = "云禾木青石安宁晨星海林山月泉乐贝可米亚诺达维科"


TABLES = (KINDS, COLOURS, PATTERNS, MATERIALS, COURSES, LABELS, CHATTER)


def say(word: str, language: Language) -> str:
    """A value or label, known by its English name, in the language."""
    if language == "en":
        return word
    for table in TABLES:
        if word in table:
            return table[word]
    raise KeyError(word)


def capital(text: str) -> str:
    """The text with a capital at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]


def spellings(word: str) -> tuple[str, ...]:
    """Every way to say a value, in both languages."""
    return (word, say(word, "zh"), *ALIASES.get(word, ()))


def plural(kind: str) -> str:
    """The English plural of a kind; a Chinese word as it is."""
    if not kind.isascii():
        return kind
    return kind + ("es" if kind.endswith("s") else "s")
