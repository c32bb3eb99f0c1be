"""What a model is asked: the question, its options where it sees them, its pictures or its clip."""

from __future__ import annotations

from valley.evaluate.items import Item
from valley.types import Image, Message, Part, Request, Video

#: What ends a question with options, by language.
LETTER = {
    "en": "Answer with the option's letter from the given choices directly.",
    "zh": "请直接回答选项字母。",
}


def prompt(item: Item) -> str:
    """The words of a question. The candidates of a ranking are not in it."""
    if item.cells.get("way") != "choice":
        return item.question
    options = (f"{letter}. {text}" for letter, text in item.options.items())
    return "\n".join((item.question, *options, LETTER[item.cells["language"]]))


def parts(item: Item) -> tuple[Part, ...]:
    """The pictures, or one clip of all frames."""
    if item.cells["media"] == "clip":
        return (Video(list(item.media)),)
    return tuple(Image(picture) for picture in item.media)


def request(item: Item) -> Request:
    return Request((Message.of("user", *parts(item), prompt(item)),))
