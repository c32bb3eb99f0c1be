"""How the strict profile reads a reply: what is said is found, what is not said is not guessed.

Every step is linear in the length of the reply. None where it cannot be read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from valley.mathematics import number

#: Words of the longest reply that is an answer as a whole.
SHORT = 12
#: Characters that are searched for an answer: what comes after so many is not read.
LONGEST = 100_000
#: Characters that are normalised together: the marks on a letter are put in order by insertion,
#: whose work grows with the square of their number.
PIECE = 250
#: Characters of the longest number; every one as long is a float.
DIGITS = 300

_MARKS = str.maketrans("", "", "*`$\u200b\ufeff\u2060")
_EDGES = " \t\n.,:;!?'\"“”‘’()[]{}<>|\\、。。「」《》-—–_#~"
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_CUE = re.compile(
    r"(?P<final>final |最终|最后)?"
    r"(?:answer|答案|正确选项)(?:\s+(?:is|would be|should be)\b|应该是|应为|应是|是|为|选)?"
    r"\s*[:：]?(?:\s*(?:选|option|choice)\b)?\s*",
    re.IGNORECASE,
)
_CUE_YES_NO = re.compile(r"(?:answer|答案)\W{0,9}(?:is\b|是|为)?\W{0,9}(yes|no)\b")
_SAID = re.compile(r"(?:answer|答案)\s*(?:is|would be|:|：|是|为)\s*:?\s*([^\n]*)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.,])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?![\w])",
    re.ASCII,
)
_NEGATED = re.compile(
    r"(?:\b(?:not|no|never|neither|nor)|n't|不是|不|没有|没|非)\s*(?:an?|the)?\s*$"
)
_REFUSED = (
    "sorry, i can't",
    "i'm sorry, but",
    "i can't process",
    "cannot determine the answer",
    "i cannot answer",
    "i can't answer",
)
_YES_NO = {
    **dict.fromkeys(["yes", "y", "true", "是", "是的", "对", "对的", "正确", "有"], "Yes"),
    **dict.fromkeys(
        ["no", "n", "false", "否", "不是", "不对", "不", "错", "错误", "没有", "不正确"], "No"
    ),
}


def tidy(text: str) -> str:
    """Full-width characters as plain ones, without Markdown's and LaTeX's marks; no more than
    `LONGEST` characters."""
    pieces: list[str] = []
    left = LONGEST
    for start in range(0, len(text), PIECE):
        if left <= 0:
            break
        pieces.append(unicodedata.normalize("NFKC", text[start : start + PIECE])[:left])
        left -= len(pieces[-1])
    return "".join(pieces).translate(_MARKS).strip()


def bare(text: str) -> str:
    """Text in lower case, without the punctuation around it; white space is one space."""
    return " ".join(tidy(text).strip(_EDGES).casefold().split())


def final(reply: str) -> str:
    """The part of a reply that is its answer: after the thinking, the last `<answer>` block, or
    else the last `\\boxed{}`, or else all of it."""
    said = reply.rpartition("</think>")[2]
    for inside in (tagged(said), boxed(said)):
        if inside is not None:
            return inside
    return said.strip()


def tagged(text: str) -> str | None:
    """What the last closed `<answer>` block holds."""
    if "</" not in text:
        return None
    begun, inside = None, None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            begun = tag.end() if begun is None else begun
        elif begun is not None:
            begun, inside = None, (begun, tag.start())
    return None if inside is None else text[slice(*inside)].strip()


def boxed(text: str) -> str | None:
    """What the last `\\boxed{}` holds."""
    begun = text.rfind("\\boxed{")
    if begun < 0:
        return None
    depth = 0
    for place in range(begun + 6, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return re.sub(r"\\text\{([^{}]*)\}", r"\1", text[begun + 7 : place]).strip()
    return None


def stated(reply: str) -> str | None:
    """The answer in a few words: a final part that is short, or what the last "answer is" says."""
    said = final(reply)
    if len(said) <= LONGEST and len(said.split()) <= SHORT and "\n" not in said:
        found = _SAID.search(said)
        return (found[1] if found and found[1] else said).strip() or None
    cues = [cue[1].strip() for cue in _SAID.finditer(said[-LONGEST:]) if cue[1].strip()]
    return cues[-1].removesuffix(".") if cues and len(cues[-1].split()) <= SHORT else None


def refused(reply: str) -> bool:
    """Whether a reply says that it gives no answer, or says nothing."""
    said = reply[:LONGEST].casefold().replace("’", "'")
    return not said.strip() or any(phrase in said for phrase in _REFUSED)


def letter(reply: str, options: Mapping[str, str]) -> str | None:
    """The option that a reply names, by its letter or by its text alone."""
    said = tidy(final(reply))
    alone = said.strip(_EDGES)
    if alone.upper() in options and len(alone) == 1:
        return alone.upper()
    for found in (_cued(said, options), _first_line(said, options), _letters(said, options)):
        if found:
            return found
    return _by_text(said, options)


def _cued(said: str, options: Mapping[str, str]) -> str | None:
    """The letter after "the answer is", if all such places name one, or the final one does."""
    letters: list[tuple[bool, str]] = []
    for cue in _CUE.finditer(said):
        if named := _letter_at(said, cue.end(), options):
            letters.append((bool(cue["final"]), named))
    for only_final in (True, False):
        names = {name for last, name in letters if last or not only_final}
        if len(names) == 1:
            return names.pop()
    return None


def _letter_at(said: str, place: int, options: Mapping[str, str]) -> str | None:
    """The letter that stands at a place, brackets aside; a small one only if nothing follows it."""
    found = re.match(r"[(\[{\"']*([A-Za-z])(?![A-Za-z0-9'])", said[place : place + 8])
    if not found or found[1].upper() not in options:
        return None
    rest = said[place + found.end() :].lstrip(" \t")
    if found[1].islower() or found[1] in "AI":  # an article, a pronoun, or a letter
        closed = not rest or rest[0] in "\n.,:;!?)]}\"'、。<" or _joins(rest)
        return found[1].upper() if closed else None
    return found[1]


def _joins(rest: str) -> bool:
    """Whether words go on from an answer, rather than name something."""
    return re.match(r"(?:because|since|as|for|which|where|and)\b", rest) is not None


def _first_line(said: str, options: Mapping[str, str]) -> str | None:
    """The letter with which a reply begins, as in `B. rabbit` or a line of `(B)`."""
    line = said.partition("\n")[0].strip()
    found = re.match(r"\(?([A-Z])(?:[).:、]|\s*$)\s*(.*)", line)
    if not found or found[1] not in options:
        return None
    others = {name for name in _standing(line, options) if name != found[1]}
    return None if others else found[1]


def _standing(said: str, options: Mapping[str, str]) -> Iterable[str]:
    """Capital letters of options that stand alone; an "A" or "I" before a word is none."""
    for found in re.finditer(r"(?<![A-Za-z0-9'\-])([A-Z])(?![A-Za-z0-9'\-])", said):
        rest = said[found.end() : found.end() + 20]
        article = found[1] in "AI" and re.match(" +[a-z]", rest) and not _joins(rest.lstrip())
        if found[1] in options and not article:
            yield found[1]


def _letters(said: str, options: Mapping[str, str]) -> str | None:
    """The one letter in a reply, where it says it is not out of the question."""
    names = set(_standing(said, options))
    if len(names) != 1:
        return None
    name = names.pop()
    negated = any(_negated(said, place.start()) for place in re.finditer(rf"\b{name}\b", said))
    return None if negated else name


def _negated(said: str, place: int) -> bool:
    """Whether a "not" stands before a place."""
    return _NEGATED.search(said[max(0, place - 16) : place]) is not None


def _by_text(said: str, options: Mapping[str, str]) -> str | None:
    """The one option whose words a short reply says; an option within another is not said."""
    texts = {name: bare(text) for name, text in options.items() if bare(text)}
    words = bare(said)
    if exact := [name for name, text in texts.items() if text == words]:
        return exact[0] if len(exact) == 1 else None
    if len(words) > 2 * sum(map(len, texts.values())) + 40:
        return None
    spans = [(name, *span) for name, text in texts.items() for span in places(words, text)]
    outer = {
        name
        for name, begin, end in spans
        if not any(b <= begin and end <= e and (b, e) != (begin, end) for _, b, e in spans)
    }
    if len(outer) != 1:
        return None
    name = outer.pop()
    if any(_negated(words, begin) for other, begin, _ in spans if other == name):
        return None
    return name


def places(words: str, text: str) -> list[tuple[int, int]]:
    """Where a text stands in words, not as a part of a longer word or number."""
    if not text:
        return []
    before = r"(?<![a-z0-9_])(?<!\d[.,])" if re.match(r"\w", text, re.ASCII) else ""
    after = r"(?![a-z0-9_])(?![.,]\d)" if re.search(r"\w\Z", text, re.ASCII) else ""
    return [found.span() for found in re.finditer(before + re.escape(text) + after, words)]


def yes_no(reply: str) -> str | None:
    """`Yes` or `No`, where a reply is one of them, begins with it or comes to it."""
    said = tidy(final(reply)).casefold()
    if whole := _YES_NO.get(said.strip(_EDGES)):
        return whole
    if re.search(r"\byes\s*(?:/|,|or|and|\.)\s*no\b|\bno\s*(?:/|,|or|and|\.)\s*yes\b", said):
        return None
    cues = {cue[1] for cue in _CUE_YES_NO.finditer(said)}
    if len(cues) == 1:
        return cues.pop().capitalize()
    first = re.match(r"\W*(yes|no)(?=[,.:;!\n]|\s*$|\s+(?:it|there|the|this|because|i)\b)", said)
    if first:
        return first[1].capitalize()
    last = re.search(r"\b(yes|no)\W*\Z", said[-100:])
    words = set(re.findall(r"[a-z]+", said))
    if last and not {"yes", "no"} <= words:
        return last[1].capitalize()
    return "Yes" if "yes" in words and "no" not in words else None


def the_number(reply: str) -> float | None:
    """The number that a reply states, its currency, unit or percent sign aside; the only one."""
    said = tidy(final(reply))
    if len(said) <= DIGITS and (plain := number(said.rstrip("%°").lstrip("€£¥"))) is not None:
        return float(plain)
    cues = [found for cue in _SAID.finditer(said) if (found := _NUMBER.findall(cue[1]))]
    numbers = cues[-1] if cues else _NUMBER.findall(said)
    values = {float(text.replace(",", "").replace("−", "-")) for text in numbers}
    return values.pop() if len(values) == 1 else None


def says(reply: str, truth: str) -> bool | None:
    """Whether a reply in free words says the truth: the same words or number, or words that hold
    it. None where a long reply does neither."""
    said, true = bare(final(reply)), bare(truth)
    if said == true:
        return True
    value, wanted = the_number(reply), the_number(truth)
    if value is not None and wanted is not None and len(true.split()) <= 2:
        return value == wanted
    if true and any(not _negated(said, begin) for begin, _ in places(said, true)):
        return True
    return False if stated(reply) is not None else None
