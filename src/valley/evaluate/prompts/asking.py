"""Ways to put an item's question into words, of which the prompts of a line are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from string import ascii_uppercase
from typing import TypeAlias

from valley.evaluate.items import Item
from valley.evaluate.tables import list_in

#: The words of a question.
Ask: TypeAlias = Callable[[Item], str]
_CHINESE = re.compile("[\u4e00-\u9fff]")


def bare(item: Item) -> str:
    """The question alone."""
    return item.question


def ended(ending: str) -> Ask:
    """The question and what is always said after it."""
    return lambda item: item.question + ending


def titled(item: Item) -> str:
    """VLMEvalKit's own form of a choice."""
    hint = f"Hint: {item.cells['hint']}\n" if "hint" in item.cells else ""
    text = f"{hint}Question: {item.question}\n"
    if not item.options:
        return text
    options = "".join(f"{letter}. {option}\n" for letter, option in item.options.items())
    return f"{text}Options:\n{options}Please select the correct answer from the options above. \n"


def lettered(choice: str, words: str = "", chinese: tuple[str, str] | None = None) -> Ask:
    """Hint, question, a line for each option, and `choice` after them; `words` where there are no
    options. `chinese`: both again, for a question with Chinese characters."""

    def ask(item: Item) -> str:
        lines = [item.cells["hint"]] if "hint" in item.cells else []
        lines += [item.question, *(f"{name}. {text}" for name, text in item.options.items())]
        text = "\n".join(lines)
        endings = chinese if chinese and _CHINESE.search(text) else (choice, words)
        return text + endings[0 if item.options else 1]

    return ask


def candidates(template: str, brackets: str = "{letter}. {text}") -> Ask:
    """`template` filled with the question and the lines of the column `candidates`. Lines that have
    their letters already are `brackets="{text}"`."""

    def ask(item: Item) -> str:
        texts = list_in(item.cells.get("candidates", "")) or []
        pairs = zip(ascii_uppercase, texts, strict=False)
        lines = (brackets.format(letter=letter, text=text) for letter, text in pairs)
        return template.format(question=item.question, options="\n".join(lines))

    return ask


def by_cell(column: str, ways: Mapping[str, Ask], otherwise: Ask = bare) -> Ask:
    """The way that fits the value of a column."""
    return lambda item: ways.get(item.cells.get(column, ""), otherwise)(item)


def by_first_line(ways: Mapping[str, Ask], otherwise: Ask = bare) -> Ask:
    """The way that fits the first line of the question."""
    return lambda item: ways.get(item.question.split("\n")[0], otherwise)(item)


def without(piece: str, ask: Ask, replacement: str = "") -> Ask:
    """As `ask`, with a piece of text taken out."""
    return lambda item: ask(item).replace(piece, replacement)


def dotted(ask: Ask) -> Ask:
    """As `ask`, with `A.` for `(A)`, up to E."""
    return lambda item: re.sub(r"\(([A-E])\)", r"\1.", ask(item))
