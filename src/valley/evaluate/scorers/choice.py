"""Multiple choice: MMBench and its circular groups, MMStar, AI2D, RealWorldQA, MMMU."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.scorers import asking, grouping, reading
from valley.evaluate.scorers.grouping import Accuracy

#: The letter of the option that a reply chooses, `REFUSED` if it chooses none, None if unclear.
Reader: TypeAlias = Callable[[str, Mapping[str, str]], str | None]

#: Said instead of a letter where no option is chosen.
REFUSED = "Z"
#: What an open question of MMMU offers beside the truth, in VLMEvalKit.
OTHER = "Other Answers"

_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_PUNCTUATION = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ANSWER_IS = re.compile(r"(?:correct )?answer is \**([A-D])", re.IGNORECASE)
_CHINESE = re.compile("[\u4e00-\u9fff]")


def can_infer(reply: str, options: Mapping[str, str], verbose: bool = False) -> str | None:
    """The letter as VLMEvalKit reads it. `verbose`: what its environment variable VERBOSE does."""
    if asking.FAILED not in reply:
        if any(phrase in reply for phrase in _REFUSALS):
            return REFUSED
        if found := _by_token(reply, options, verbose):
            return found
    return _by_text(reply, options)


def _by_token(reply: str, options: Mapping[str, str], verbose: bool) -> str | None:
    tokens = reply.translate(_PUNCTUATION).split()
    named = [name for name in options if name in tokens]
    if len(named) == 1:
        if verbose and "A" in tokens and len(tokens) > 3:
            return None
        if tokens.index(named[0]) > len(tokens) - 5:
            return named[0]
    elif not named and REFUSED in tokens:
        return REFUSED
    found = _ANSWER_IS.search(reply)
    return found[1].upper() if found and found[1].upper() in options else None


def _by_text(reply: str, options: Mapping[str, str]) -> str | None:
    reply = reply.lower()
    if len(reply) > 2 * sum(map(len, options.values())):
        return None
    named = [name for name, text in options.items() if text.lower() in reply]
    return named[0] if len(named) == 1 else None


def read_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter in the strict profile."""
    found = reading.letter(reply, options)
    return REFUSED if found is None and reading.refused(reply) else found


def option_list(options: Mapping[str, str]) -> str:
    """Options as a judge reads them."""
    lines = "".join(f"{name}. {text}\n" for name, text in options.items())
    return f"There are several options: \n{lines}"


def verdict_on(
    found: str | None, truth: str, right: Callable[[str, str], bool] = str.__eq__
) -> Verdict:
    """The verdict on what a reply was read as."""
    if found is None:
        return Verdict(0.0, resolved=False)
    return Verdict(float(right(found, truth)), found)


@dataclass(frozen=True)
class Choice(Accuracy):
    """One letter is right. `read`: how a reply, or a judge's words on it, is read. `template`: the
    judge's prompt where it is not that of the question's language."""

    read: Reader
    template: str | None = None

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        return verdict_on(self.choose(item, item.options, reply.strip(), judge), item.answer)

    def choose(
        self, item: Item, options: Mapping[str, str], reply: str, judge: Judge | None
    ) -> str | None:
        """The letter, by the rules or else by the judge, who is asked three times."""
        if (found := self.read(reply, options)) or judge is None:
            return found
        language = "choice_cn" if _CHINESE.search(item.question) else "choice"
        prompt = asking.prompt(
            self.template or language,
            question=item.question,
            options=option_list(options),
            reply=reply.strip(),
        )
        return asking.asked(judge, prompt, lambda said: self.read(said, options), 3, 0.0)


@dataclass(frozen=True)
class Circular(Choice):
    """A question is asked with its options in several orders, and every reply has to be right.

    `g_index` says which rows are one question; without it, the index modulo a million does.
    """

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        return verdict_on(self.choose(item, item.options, reply, judge), item.answer)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Accuracies over questions; one whose first row is missing is not counted."""
        questions = []
        for rows in grouping.groups(scored, self.cluster):
            base = next((row for row in rows if row.item.id == self.cluster(row.item)), None)
            if base:
                questions.append(Scored(base.item, Verdict(float(grouping.all_right(rows)))))
        return grouping.split_accuracies(questions) if questions else {"Overall": float("nan")}

    def cluster(self, item: Item) -> str:
        if "g_index" in item.cells:
            return item.cells["g_index"]
        return str(int(item.id) % 10**6) if item.id.isdecimal() else item.id


@dataclass(frozen=True)
class Mmmu(Choice):
    """MMMU, whose figure is that of the validation split. `says`: how the reply to an open
    question is compared; None offers the truth beside "Other Answers", as VLMEvalKit does."""

    says: Callable[[str, str], bool | None] | None = None

    def score(self, item: Item, reply: str, judge: Judge | None = None) -> Verdict:
        if "A" in item.options:
            return super().score(item, reply, judge)
        if self.says is None:
            options, truth = reformulated(item)
            return verdict_on(self.choose(item, options, reply.strip(), judge), truth)
        right = self.says(reply, item.answer)
        if right is None and judge is not None:
            options, _ = reformulated(item)
            found = self.choose(item, options, reply, judge)
            right = None if found is None else found == "A"
        extracted = reading.stated(reply)
        return Verdict(float(right or False), extracted, resolved=right is not None)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        return grouping.split_accuracies(scored, "validation")


def reformulated(item: Item) -> tuple[dict[str, str], str]:
    """An open question as VLMEvalKit makes it a choice, and its letter. A truth that is itself a
    letter stays that letter."""
    letter = len(item.answer) == 1 and "A" <= item.answer <= "Z"
    return {"A": item.answer, "B": OTHER}, item.answer if letter else "A"
