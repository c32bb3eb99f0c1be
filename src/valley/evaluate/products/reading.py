"""What an open reply is read as: yes or no, a number, a price, one word of several, a code.

Each function returns every different thing that the reply names, so that a reply which names two
is never taken for one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

#: Characters of a reply that are looked at.
LONGEST = 4_000

_AMOUNT = r"\d{1,9}(?:,\d{3})*(?:\.\d+)?"
_MARKED = re.compile(
    rf"(?:[$¥]|usd|cny|rmb)\s*({_AMOUNT})|({_AMOUNT})\s*(?:元|dollars|yuan|usd|cny|rmb)"
)
_PLAIN = re.compile(_AMOUNT)
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {
    **dict(zip(_WORDS, range(1, 11), strict=True)),
    **dict(zip("一二三四五六七八九十", range(1, 11), strict=True)),
    "两": 2,
}
#: What counts things in Chinese; "一" alone says nothing ("一共").
_COUNTED = "(?=[个件只条顶把双盏本支]|$)"
_ENGLISH = re.compile(r"\b(yes|no|not)\b")
_CHINESE_NO = re.compile(r"否|不|没|未")
_CHINESE_YES = re.compile(r"是|有|对|相符|相同|一致|违反")


def plain(text: str) -> str:
    """The beginning of a text in half-width lower-case letters, without emphasis."""
    text = unicodedata.normalize("NFKC", text[:LONGEST]).lower()
    return re.sub(r"[*_`]{2,}|[*`]", "", text).strip()


def yes_or_no(text: str) -> list[str]:
    """["yes"] or ["no"] by the first word that says one of them; in Chinese by the first letter,
    or else "no" where anything is denied."""
    text = plain(text)
    if found := _ENGLISH.search(text):
        return ["yes" if found[1] == "yes" else "no"]
    if _CHINESE_YES.match(text):
        return ["yes"]
    return ["no"] if _CHINESE_NO.search(text) else ["yes"] if _CHINESE_YES.search(text) else []


def prices(text: str) -> list[Decimal]:
    """Amounts with a currency; where there are none, all numbers."""
    text = plain(text)
    marked = [one or two for one, two in _MARKED.findall(text)]
    return _different(Decimal(a.replace(",", "")) for a in marked or _PLAIN.findall(text))


def numbers(text: str) -> list[int]:
    """Whole numbers, in digits or in words up to ten."""
    text = plain(text)
    found = [int(digits) for digits in re.findall(r"\d{1,9}", text)]
    for word, value in _NUMBERS.items():
        if re.search(rf"\b{word}\b" if word.isascii() else word + _COUNTED, text):
            found.append(value)
    return _different(found)


def codes(text: str) -> str:
    """A text as phone numbers and names are compared: letters, digits and underscores alone."""
    return re.sub(r"[^\w]", "", plain(text))


def words(text: str, spellings: Iterable[str]) -> list[str]:
    """The spellings that stand in the text, the longest first, none inside another."""
    text, found = plain(text), []
    for spelling in sorted({s.lower() for s in spellings}, key=len, reverse=True):
        pattern = rf"(?<![a-z]){re.escape(spelling)}(?![a-z])" if spelling.isascii() else spelling
        text, times = re.subn(pattern, "\0", text)
        if times:
            found.append(spelling)
    return found


def _different(found: Iterable) -> list:
    return list(dict.fromkeys(found))
