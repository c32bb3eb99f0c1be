"""How the VQA challenge makes short answers alike, as VLMEvalKit does it."""

from __future__ import annotations

import re

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_GROUPED = re.compile(r"\d,\d")
_PERIOD = re.compile(r"(?<!\d)\.(?!\d)")
#: A flag of `re` that stands where the number of replacements belongs.
_PERIODS = int(re.UNICODE)
_ARTICLES = frozenset(["a", "an", "the"])
_DIGITS = {
    "none": "0",
    **{"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"},
    **{"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"},
}
_CONTRACTIONS = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd
how'll how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock
oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll someone's
something'd something'll that's there'd there're there's they'd they'll they're they've 'twas
wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd who'll
who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've
someone'd've something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've
you'd've
"""
#: Each contraction by its spellings without one of its apostrophes, and an entry the wrong way
#: round that the challenge's own table has.
_SPELLINGS = {"somebody'd": "somebodyd"} | {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTIONS.split()
    for place, letter in enumerate(word)
    if letter == "'"
}


def punctuation(text: str) -> str:
    """Text without punctuation: a mark next to a space anywhere in it is deleted everywhere, else
    it is a space; the first 32 periods that touch no digit are deleted."""
    deleted = _GROUPED.search(text) is not None
    result = text
    for mark in _MARKS:
        touches = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if deleted or touches else " ")
    return _PERIOD.sub("", result, count=_PERIODS)


def words(text: str) -> str:
    """Lower case, number words as digits, without articles, contractions with apostrophes."""
    kept = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_SPELLINGS.get(word, word) for word in kept if word not in _ARTICLES)


def answer(text: str) -> str:
    """The form in which answers are compared."""
    return words(punctuation(text.replace("\n", " ").replace("\t", " ").strip()))
