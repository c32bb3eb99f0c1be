"""The benchmark as items in memory and as tables on disk, the same from the same seed."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image
from PIL import __version__ as pillow_version
from tqdm.auto import tqdm

from valley.evaluate.items import Item
from valley.evaluate.products.questions import LETTERS, LEVELS, ROUND, Lot, Question, Way
from valley.evaluate.products.tasks import CELLS
from valley.evaluate.products.words import LANGUAGES, Language, say, spellings

#: Changes whenever any question or picture does.
VERSION = "products-1"
SIZE = 2_000
SEED = 1

FILES: dict[Way, str] = {
    "open": "Products_Open.tsv",
    "choice": "Products_Choice.tsv",
    "rank": "Products_Rank.tsv",
    "json": "Products_JSON.tsv",
}
MANIFEST = "Products.json"
COLUMNS = (
    *("index", "question", *LETTERS, "answer", "category", "way", "language", "level", "form"),
    *("accept", "rivals", "media", "image"),
)


def items(size: int = SIZE, seed: int = SEED, start: int = 0) -> Iterator[Item]:
    """The questions from number `start` up to `size`. Tasks, ways and languages take turns, so
    that any beginning is balanced."""
    return (item(number, seed) for number in range(start, size))


def item(number: int, seed: int = SEED) -> Item:
    """Question `number` with its pictures; a clip is its frames in `media`."""
    cell, language = number % len(CELLS), LANGUAGES[number // len(CELLS) % len(LANGUAGES)]
    task, way, ask = CELLS[cell]
    lot = _lot(seed, number, cell, language)
    question = ask(lot)
    cells = {
        "question": question.text,
        **dict(zip(LETTERS, question.options, strict=False)),
        "answer": _answer(question, language),
        "category": task,
        "way": way,
        "language": language,
        "level": str(lot.level),
        "form": question.form or way,
        "accept": _spelled(question, [question.answer]),
        "rivals": _spelled(question, question.rivals),
        "media": "clip" if question.clip else "image",
    }
    kept = {name: text for name, text in cells.items() if text}
    return Item(str(number), kept, question.pictures)


def _lot(seed: int, number: int, cell: int, language: Language) -> Lot:
    round_, place = divmod(number // (len(CELLS) * len(LANGUAGES)), ROUND)
    name = f"{VERSION} {seed} {cell} {language} {round_}"
    turn = Random(name).sample(range(ROUND), ROUND)[place]
    level = Random(f"{name} level").sample(range(ROUND), ROUND)[place] % LEVELS
    return Lot(Random(f"{VERSION} {seed} {number}"), turn, language, level)


def _answer(question: Question, language: Language) -> str:
    return say(question.answer, language) if question.form == "word" else question.answer


def _spelled(question: Question, words: tuple[str, ...] | list[str]) -> str:
    """All spellings of the words as a JSON list; "" unless the answer is one word of several."""
    if question.form != "word":
        return ""
    return json.dumps([text for word in words for text in spellings(word)], ensure_ascii=False)


def make(folder: Path, size: int = SIZE, seed: int = SEED) -> dict[Way, Path]:
    """Write the tables, one a way of asking, and `Products.json`, which says what they are.

    Nothing is drawn again where `Products.json` says that it is there. Pictures are PNG in base64,
    several in the list of a cell; where `media` says "clip" they are the frames of one, a second
    apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {way: folder / name for way, name in FILES.items()}
    told = {"version": VERSION, "size": size, "seed": seed, "pillow": pillow_version}
    if told.items() <= manifest_of(folder).items():
        return paths
    parts = {way: path.with_suffix(".part") for way, path in paths.items()}
    digest = hashlib.sha256()
    with ExitStack() as stack:
        writers = {way: _writer(stack, path) for way, path in parts.items()}
        for one in tqdm(items(size, seed), "Products", size, unit="question", disable=None):
            digest.update(digest_of(one))
            row = {"index": one.id, "image": _image_cell(one)} | dict(one.cells)
            writers[one.cells["way"]].writerow(row)
    for way, path in parts.items():
        os.replace(path, paths[way])
    text = json.dumps(told | {"sha256": digest.hexdigest()}, indent=1)
    (folder / MANIFEST).write_text(text, "utf-8")
    return paths


def manifest_of(folder: Path) -> dict[str, Any]:
    """What `Products.json` says of the tables in a folder; {} where one of them is not there."""
    if not all((folder / name).is_file() for name in (MANIFEST, *FILES.values())):
        return {}
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return found


def _writer(stack: ExitStack, path: Path) -> csv.DictWriter[str]:
    file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    return writer


def _image_cell(one: Item) -> str:
    """The pictures as the public tables hold them: base64, or a list of base64."""
    texts = [base64.b64encode(_png(picture)).decode("ascii") for picture in one.media]
    return texts[0] if len(texts) == 1 else json.dumps(texts)


def _png(picture: Image.Image) -> bytes:
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def digest_of(one: Item, pixels: bool = True) -> bytes:
    """SHA-256 over an item's words and, with `pixels`, over what its pictures show."""
    digest = hashlib.sha256(json.dumps([one.id, dict(one.cells)], sort_keys=True).encode())
    for picture in one.media if pixels else ():
        digest.update(repr(picture.size).encode() + picture.tobytes())
    return digest.digest()
