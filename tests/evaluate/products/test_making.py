"""The generated benchmark: the same everywhere, balanced, drawn with its own fonts."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import json
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import PIL
import pytest
from PIL import Image

from valley.evaluate.items import Item
from valley.evaluate.products import baselines
from valley.evaluate.products import canvas as canvas_module
from valley.evaluate.products.canvas import FACES, FONTS, Canvas, load, wrapped
from valley.evaluate.products.goods import four_prices, four_titles, random_price, random_product
from valley.evaluate.products.making import FILES, digest_of, item, items, make
from valley.evaluate.products.questions import LETTERS, ROUND
from valley.evaluate.products.scoring import SCORERS
from valley.evaluate.products.tasks import CELLS, TASKS
from valley.evaluate.products.words import TABLES, ZH_SYLLABLES

#: SHA-256 over the first 50 questions of "products-1": their words, and with them their pixels.
WORDS = "d2dd73219bc6535627cc8e05334dcce8e4f5925f0f97715f19d5b6d9c1dde5e7"
PIXELS = "9cf326bacc26671d6e9ed51c3e8dafb6d8634af088687d39f4d0e4f56e11c750"
#: Releases of Pillow known to draw those pixels.
PILLOWS = ("13.0",)
FULL_ROUND = ROUND * len(CELLS) * 2


@pytest.fixture(scope="module")
def first() -> list[Item]:
    return list(items(50))


@pytest.fixture(scope="module")
def rounds() -> list[Item]:
    """Two rounds of every cell in both languages, their pictures left empty."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("room", "show", "stamp"):
            patch.setattr(Canvas, name, lambda *args, **kwargs: None)
        for name in ("write", "pill"):
            patch.setattr(Canvas, name, lambda *args, **kwargs: (0.0, 0.0, 1.0, 1.0))
        return list(items(2 * FULL_ROUND))


@pytest.fixture(scope="module")
def undrawn(rounds: list[Item]) -> list[Item]:
    return rounds[:FULL_ROUND]


def digest(first: list[Item], pixels: bool) -> str:
    return hashlib.sha256(b"".join(digest_of(one, pixels) for one in first)).hexdigest()


def test_the_words_are_the_same_everywhere(first: list[Item]) -> None:
    assert digest(first, pixels=False) == WORDS


def test_the_pixels_are_those_of_a_known_pillow(first: list[Item]) -> None:
    known = PIL.__version__.startswith(PILLOWS)
    assert not known or digest(first, pixels=True) == PIXELS
    sizes = [picture.size for one in first for picture in one.media]
    assert len(sizes) > 100
    assert all(picture.getextrema() != ((0, 0),) * 3 for one in first for picture in one.media)


def test_a_question_does_not_depend_on_those_before_it(first: list[Item]) -> None:
    for number in (7, 18, 33):
        assert digest_of(item(number)) == digest_of(first[number])
    assert digest_of(item(7, seed=2)) != digest_of(first[7])


def test_every_beginning_holds_all_tasks_and_languages(first: list[Item]) -> None:
    counts = Counter((one.cells["category"], one.cells["language"]) for one in first[:40])
    assert set(counts) == {(task, language) for task in TASKS for language in ("en", "zh")}
    assert {one.cells["way"] for one in first[:20]} == set(FILES)


def test_answers_are_balanced(undrawn: list[Item]) -> None:
    assert len({one.question + str(one.options) for one in undrawn}) > len(undrawn) / 2
    yes = Counter(
        (one.cells["category"], one.cells["language"], one.answer)
        for one in undrawn
        if one.cells["form"] == "yes_no"
    )
    for (task, language, answer), number in yes.items():
        other = {"yes": "no", "no": "yes", "是": "否", "否": "是"}[answer]
        assert number == yes[task, language, other]
    places = defaultdict(Counter)
    for one in undrawn:
        if one.options:
            places[one.cells["category"], one.cells["way"]][one.answer] += 1
    for counts in places.values():
        assert set(counts) == set(LETTERS)
        assert max(counts.values()) <= 0.36 * counts.total()


def test_guessing_from_words_stays_at_chance(rounds: list[Item]) -> None:
    """Who has learnt one round with its answers knows nothing of the next."""
    unseen = rounds[FULL_ROUND:]
    replies = baselines.majority(rounds[:FULL_ROUND], unseen)
    scores = [
        SCORERS[f"products_{one.cells['way']}"].score(one, reply).score
        for one, reply in zip(unseen, replies, strict=True)
    ]

    def mean(**cells: str) -> float:
        chosen = [
            score
            for one, score in zip(unseen, scores, strict=True)
            if all(one.cells[name] == text for name, text in cells.items())
        ]
        return sum(chosen) / len(chosen)

    assert mean(way="choice") < 0.30
    assert mean(way="rank") < 0.56
    assert mean(form="yes_no") < 0.56
    assert mean(form="price") < 0.02
    assert mean(form="code") < 0.02
    assert mean(form="word") < 0.30
    assert mean(form="number") < 0.34


def test_options_do_not_tell_which_is_right(undrawn: list[Item]) -> None:
    """Neither how often an option is right elsewhere, nor how much it shares with the others."""
    seen: dict[str, list[int]] = defaultdict(lambda: [1, 4])
    central, common, asked = 0.0, 0, 0
    for one in undrawn:
        options = one.options
        if not options:
            continue
        asked += 1
        rate = {letter: seen[text][0] / seen[text][1] for letter, text in options.items()}
        common += max(rate, key=lambda letter: rate[letter]) == one.answer
        shared = {
            letter: sum(len({*text} & {*other}) for other in options.values())
            for letter, text in options.items()
        }
        best = [letter for letter in options if shared[letter] == max(shared.values())]
        central += (one.answer in best) / len(best)
        for letter, text in options.items():
            seen[text][0] += letter == one.answer
            seen[text][1] += 1
    assert asked > 500
    assert common / asked < 0.32
    assert central / asked < 0.32


def test_no_question_holds_its_own_answer(undrawn: list[Item]) -> None:
    for one in undrawn:
        if one.cells["form"] in ("price", "code"):
            assert one.answer not in one.question
        if one.cells["way"] == "rank":
            assert not any(text in one.question for text in one.options.values())


def test_pictures_reach_ratios_of_one_to_twenty(undrawn: list[Item]) -> None:
    strips = [one.media[0].size for one in undrawn if one.cells["category"] == "strips"]
    ratios = [max(size) / min(size) for size in strips]
    assert min(ratios) >= 5
    assert max(ratios) == 20
    assert {width > height for width, height in strips} == {True, False}


def test_levels_are_equally_many(undrawn: list[Item]) -> None:
    counts = Counter(one.cells["level"] for one in undrawn)
    assert set(counts.values()) == {len(undrawn) // 3}


def test_the_fonts_hold_every_character() -> None:
    written = {char for table in TABLES for word in table.values() for char in word}
    written |= {*ZH_SYLLABLES, *map(chr, range(33, 127)), "¥", "·"}
    for face in FACES:
        font = load(face, 24)
        lacking = bytes(font.getmask("￿"))
        assert not [char for char in written if bytes(font.getmask(char)) == lacking], face
    assert sum(path.stat().st_size for path in FONTS.iterdir()) < 300_000


def test_lines_break_between_words_and_between_chinese_letters() -> None:
    assert wrapped("dotted red teapot, set of 3", "sans", 20, 120) == [
        "dotted red",
        "teapot, set",
        "of 3",
    ]
    rows = wrapped("红色波点茶壶 3件装", "sans", 20, 70)
    assert "".join(rows) == "红色波点茶壶3件装"
    assert all(canvas_module.load("sans", 20).getlength(row) <= 70 for row in rows)


def test_wrong_options_differ_crosswise() -> None:
    rng = Random(4)
    for _ in range(50):
        titles = four_titles(rng, random_product(rng))
        assert len({product.title("en") for product in titles}) == 4
        prices = four_prices(rng, random_price(rng))
        assert len(set(prices)) == 4
        assert len({int(price) for price in prices}) == 2


def test_tables_are_what_the_items_say(tmp_path: Path, first: list[Item]) -> None:
    paths = make(tmp_path / "data", size=20)
    rows: dict[str, dict[str, Any]] = {}
    csv.field_size_limit(10**8)
    for path in paths.values():
        with path.open(encoding="utf-8", newline="") as file:
            rows |= {row["index"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert set(rows) == {one.id for one in first[:20]}
    for one in first[:20]:
        row = rows[one.id]
        assert {name: text for name, text in row.items() if text} == {
            "index": one.id,
            "image": row["image"],
            **one.cells,
        }
        cell = row["image"]
        texts = ast.literal_eval(cell) if cell.startswith("[") else [cell]
        for text, picture in zip(texts, one.media, strict=True):
            with Image.open(BytesIO(base64.b64decode(text))) as stored:
                assert stored.convert("RGB").tobytes() == picture.tobytes()


def test_tables_are_not_drawn_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make(tmp_path, size=1)
    told = json.loads((tmp_path / "Products.json").read_text(encoding="utf-8"))
    assert told["version"] == "products-1"
    monkeypatch.setattr("valley.evaluate.products.making.item", None)
    assert make(tmp_path, size=1) == paths
    with pytest.raises(TypeError):
        make(tmp_path, size=2)
    assert paths["open"].stat().st_size > 1000, "what was there is kept until it is replaced"
