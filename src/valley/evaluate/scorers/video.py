"""Questions on clips: Video-MME, MVBench, TempCompass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import TypeAlias

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import asking, cells, grouping, reading
from valley.evaluate.scorers.choice import Choice, read_letter, verdict_on

#: What Video-MME deletes before it looks for a letter. Two commas are missing in VLMEvalKit's
#: list, which makes four of these prefixes two that no reply has.
VIDEO_MME_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
    "Answer:",
    "Option:",
)
#: Those of MME-RealWorld, where one comma is missing.
MME_REALWORLD_PREFIXES = (
    *VIDEO_MME_PREFIXES[:5],
    "Best answer:",
    "Best option:",
)


def first_letter(reply: str, prefixes: Sequence[str], letters: str = "ABCD") -> str | None:
    """The first letter of an option anywhere in a reply, after prefixes are deleted."""
    found = re.search(f"[{letters}]", _without(reply.strip(), prefixes))
    return found[0] if found else None


def _without(said: str, prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        said = said.replace(prefix, "")
    return said


def clip(item: Item) -> str:
    """What questions on one clip share."""
    return item.cells.get("video", item.id)


def choices_of(item: Item) -> dict[str, str]:
    """The options of a row, in cells of their own or as a list; letters before them are cut off."""
    if "candidates" not in item.cells:
        return item.options
    options = cells.lettered(item.cells["candidates"])
    return {name: re.sub(rf"\A\(?{name}[.):] ?", "", text) for name, text in options.items()}


@dataclass(frozen=True)
class VideoMme(Choice):
    """`first`: what is tried before the way of multiple choice. `decimals`: those of the shares
    that figures are, None where they are not rounded."""

    first: Callable[[str], str | None] | None = None
    decimals: int | None = None

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        found = self.first(reply) if self.first else None
        found = found or self.choose(item, choices_of(item), reply.strip(), judge)
        return verdict_on(found, item.answer)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        parts: dict[str, Sequence[Scored]] = {"Overall": scored}
        for column in ("duration", "domain", "sub_category", "task_type"):
            parts |= grouping.by(scored, column)
        return {name: self._rounded(grouping.accuracy(rows)) for name, rows in parts.items()}

    def cluster(self, item: Item) -> str:
        return clip(item)

    def _rounded(self, percent: float) -> float:
        if self.decimals is None:
            return percent
        return float(f"{percent / 100:.{self.decimals}f}") * 100


def first_video_mme(reply: str) -> str | None:
    return first_letter(reply, VIDEO_MME_PREFIXES)


def first_mme_realworld(reply: str) -> str | None:
    """MME-RealWorld's letter, of five: a part of `(a)`, as an empty reply is, is A."""
    if found := first_letter(reply, MME_REALWORLD_PREFIXES, "ABCDE"):
        return found
    said = _without(reply.strip(), MME_REALWORLD_PREFIXES).lower()
    parts = (letter for letter in "ABCDE" if said in f"({letter})".lower())
    return next(parts, None)


def check_answer(reply: str, truth: str) -> bool:
    """MVBench's rule in VLMEvalKit: the first word of the reply is a part of `(a)`, which an empty
    one is, or holds it."""
    said, wanted = (text.lower().split(" ")[0] for text in (reply, truth))
    return said.replace(".", "") in wanted or wanted in said


@dataclass(frozen=True)
class MvBench(Choice):
    """MVBench, whose answers are texts among the candidates. `rule`: tried before the way of
    multiple choice. `rounded`: figures have two decimals. `failed`: what a reply is worth where
    the model could not be reached, which VLMEvalKit takes for right."""

    rule: Callable[[str, str], bool] | None = None
    rounded: bool = False
    failed: float = 0.0

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        options = choices_of(item)
        letter = _letter_of(item, options)
        if asking.FAILED in reply:
            return Verdict(self.failed, resolved=False)
        if self.rule and self.rule(reply, f"({letter}) {item.answer}"):
            return Verdict(1.0, letter)
        return verdict_on(self.choose(item, options, reply.strip(), judge), letter)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Shares of rows whose score is not 0."""
        parts = {"Overall": list(scored), **grouping.by(scored, "task_type")}
        figures = {
            name: sum(bool(row.verdict.score) for row in rows) / len(rows) * 100
            for name, rows in parts.items()
        }
        return {n: float(f"{v:.2f}") for n, v in figures.items()} if self.rounded else figures


def _letter_of(item: Item, options: Mapping[str, str]) -> str:
    """The letter of the answer, which a row gives as text, or as the letter itself."""
    texts = [name for name, text in options.items() if text == item.answer]
    return texts[-1] if texts else item.answer.strip("()")[:1]


#: The verdict of TempCompass's rules on a reply, None where they fail.
Rule: TypeAlias = Callable[[Item, str], bool | None]


def multi_choice(item: Item, reply: str) -> bool | None:
    """TempCompass's rule: the answer itself, or a letter with a period or a bracket after it."""
    if reply == item.answer:
        return True
    if reply in tuple("ABCD") or reply[:2] in [f"{a}{b}" for a in "ABCD" for b in ".)"]:
        return reply[0] == item.answer[:1]
    return None


def caption_matching(item: Item, reply: str) -> bool | None:
    """TempCompass's rule: a candidate, its sentence, its name or its letter, exactly."""
    named: dict[str, set[str]] = {"candidate": set(), "sentence": set(), "name": set()}
    after = reply.split(") ")[1] if ") " in reply else reply
    for candidate in map(str, cells.listed(item.cells.get("candidates", "[]"))):
        name, sentence = _name_and_sentence(candidate)
        names = {name, re.sub("(?:Sentence|Option|Caption) ", "", name)}
        if reply == candidate:
            named["candidate"].add(candidate)
        if sentence in (reply, after):
            named["sentence"].add(sentence)
        named["name"] |= names & {reply, reply.replace(".", "")}
    said = next((named[how] for how in ("name", "sentence", "candidate") if named[how]), None)
    name, sentence = _name_and_sentence(item.answer)
    return said & {item.answer, name, sentence, *name.split()[1:2]} != set() if said else None


def _name_and_sentence(candidate: str) -> tuple[str, str]:
    """`Caption A` and `a man runs` of `Caption A: a man runs`."""
    name, _, rest = candidate.partition(": ")
    return name, rest.partition(": ")[0]


def starts_yes_no(item: Item, reply: str) -> bool | None:
    """TempCompass's rule, for which `nothing` is a no."""
    word = starts_with(reply)
    return None if word is None else word == item.answer


def starts_with(reply: str) -> str | None:
    return next((word for word in ("yes", "no") if reply.lower().startswith(word)), None)


def strict_multi_choice(item: Item, reply: str) -> bool | None:
    found = read_letter(reply, choices_of(item) or dict.fromkeys("ABCD", ""))
    return None if found is None else found == item.answer[:1]


def strict_caption_matching(item: Item, reply: str) -> bool | None:
    """The one candidate that a reply names, by its name, letter, number or sentence."""
    candidates = [str(text) for text in cells.listed(item.cells.get("candidates", "[]"))]
    names = [text.partition(": ")[0].split()[-1:] for text in candidates]
    sentences = dict(zip(ascii_uppercase, (t.partition(": ")[2] for t in candidates), strict=False))
    letters = {name[0]: key for name, key in zip(names, sentences, strict=False) if name}
    found = reading.letter(reply, sentences)
    said = reading.bare(reading.final(reply)).split()
    if found is None and len(said) == 2 and said[1] in letters:  # Option 1
        found = letters[said[1]]
    truths = (k for k, text in zip(sentences, candidates, strict=False) if text == item.answer)
    truth = next(truths, None)
    return None if found is None else found == truth


def strict_yes_no(item: Item, reply: str) -> bool | None:
    found = reading.yes_no(reply)
    if found is None:
        return False if reading.refused(reply) else None
    return found.lower() == item.answer.strip().lower()


def rating(said: str) -> bool:
    """A judge's `Correct` or `Incorrect`; neither is wrong, as in VLMEvalKit."""
    if said.startswith("Correct"):
        return True
    return "Correct" in said and "Incorrect" not in said


@dataclass(frozen=True)
class TempCompass:
    """`rule`: tried first. `template`: the judge's prompt. `matching`: the same two for the rows
    of a table that are caption matching."""

    rule: Rule
    template: str
    matching: Rule | None = None
    rounded: bool = False

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        if self.matching and item.cells.get("task_type") == "caption_matching":
            other = replace(self, rule=self.matching, template="tempcompass_caption_matching")
            return replace(other, matching=None).score(item, reply, judge)
        right = self.rule(item, reply)
        if right is None and judge is not None:
            prompt = asking.prompt(
                self.template, question=item.question, answer=item.answer, reply=reply
            )
            right = self._judged(judge, prompt, rating)
        return Verdict(float(right or False), reply[:100], resolved=right is not None)

    def _judged(self, judge: Judge | None, prompt: str, read: Callable[[str], bool]) -> bool | None:
        """What a judge says, asked once at the temperature that VLMEvalKit has for it."""
        system = asking.template("tempcompass_system")
        return asking.asked(judge, prompt, read, 1, first=1.0, system=system)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        parts: dict[str, Sequence[Scored]] = {"Overall": scored}
        for column in ("dim", "task_type"):
            parts |= grouping.by(scored, column)
        figures = {name: grouping.accuracy(rows) for name, rows in parts.items()}
        return {n: round(v, 2) for n, v in figures.items()} if self.rounded else figures

    def cluster(self, item: Item) -> str:
        return clip(item)


def undecided(item: Item, reply: str) -> bool | None:
    """Only a judge can say what a caption tells."""
    return None


@dataclass(frozen=True)
class Captioning(TempCompass):
    """A judge answers a question by the caption alone."""

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        question = item.cells.get("mc_question", item.question)
        truth = item.cells.get("mc_answer", item.answer)
        prompt = asking.prompt(self.template, question=question, reply=reply)
        right = self._judged(judge, prompt, lambda said: _captioned(said, truth))
        return Verdict(float(right or False), resolved=right is not None)


def _captioned(said: str, truth: str) -> bool:
    """Whether the judge's answer is the option of the truth, and one option only."""
    answers = [line for line in said.split("\n") if "Answer" in line]
    answer = answers[-1].strip().replace("Answer:", "").strip() if answers else said
    options = sum(answer.count(f"{letter}.") for letter in "ABCD")
    return options == 1 and answer.partition(". ")[0] == truth.partition(". ")[0]
