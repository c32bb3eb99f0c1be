"""How replies to the generated benchmark are read, and what they are worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from valley.evaluate.items import Item, Scored, Verdict
from valley.evaluate.products import baselines, reading
from valley.evaluate.products.asking import parts, prompt, request
from valley.evaluate.products.listing import listing, read_listing, schema
from valley.evaluate.products.making import items
from valley.evaluate.products.ranking import likelihoods, rank
from valley.evaluate.products.scoring import SCORERS, figures
from valley.evaluate.products.tasks import CELLS
from valley.types import Image, Request, Video

HOSTILE = (
    "",
    "\0\x07" * 500_000,
    "$1," * 300_000,
    "1" * 1_000_000,
    "__import__('os').system('true')",
    "(((((" * 200_000,
    "{" * 1_000_000,
    "是不" * 300_000,
    "A B C D " * 100_000,
    "９" * 100_000,
)


def asked(way: str, **cells: str) -> Item:
    """An item of a way of asking with the cells given."""
    base = {"way": way, "language": "en", "form": way, "category": "prices", "level": "0"}
    return Item("1", base | {"media": "image", "question": "?"} | cells)


def worth(item: Item, reply: str) -> float:
    return SCORERS[f"products_{item.cells['way']}"].score(item, reply).score


@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (reading.yes_or_no, "Yes, it does.", ["yes"]),
        (reading.yes_or_no, "**No**. The colour differs, yes?", ["no"]),
        (reading.yes_or_no, "I know nothing", []),
        (reading.yes_or_no, "是", ["yes"]),
        (reading.yes_or_no, "不是", ["no"]),
        (reading.yes_or_no, "两张图片中的商品不同", ["no"]),
        (reading.yes_or_no, "图片违反了规则", ["yes"]),
        (reading.prices, "It costs $1,299.50 now.", [Decimal("1299.50")]),
        (reading.prices, "￥１２.９０", [Decimal("12.90")]),
        (reading.prices, "12.9元", [Decimal("12.9")]),
        (reading.prices, "12.90", [Decimal("12.90")]),
        (reading.prices, "$5.00 for a set of 3", [Decimal("5.00")]),
        (reading.prices, "$5.00 or $6.00", [Decimal("5.00"), Decimal("6.00")]),
        (reading.numbers, "There are three socks.", [3]),
        (reading.numbers, "一共有两个", [2]),
        (reading.numbers, "none", []),
        (reading.codes, "+1 303-555-0145", "13035550145"),
    ],
)
def test_replies_are_read(read: Callable[[str], Any], text: str, found: Any) -> None:
    assert read(text) == found


OPTIONS = {"A": "plain red mug", "B": "striped red mug", "C": "plain blue mug", "D": "a red mug"}


def test_words_are_right_where_no_rival_is_named() -> None:
    cells = {"accept": json.dumps(["red", "红色", "红"]), "rivals": json.dumps(["blue", "蓝色"])}
    item = asked("open", form="word", answer="red", **cells)
    assert worth(item, "The mug is Red.") == 1
    assert worth(item, "红色") == 1
    assert worth(item, "red or blue") == 0
    assert worth(item, "a bored man") == 0
    assert worth(item, "") == 0


def test_an_open_reply_is_the_answer_alone() -> None:
    assert worth(asked("open", form="price", answer="12.90"), "The price is $12.9") == 1
    assert worth(asked("open", form="price", answer="12.90"), "$12.09") == 0
    assert worth(asked("open", form="number", answer="3"), "3 socks") == 1
    assert worth(asked("open", form="yes_no", answer="否"), "No.") == 1
    phone = asked("open", form="code", answer="303-555-0145")
    assert worth(phone, "The number is (303) 555 0145.") == 1
    assert worth(phone, "303-555-0146") == 0
    assert worth(phone, "303-555-0145 " + "and all else that is written there " * 5) == 0


def test_a_choice_is_one_option() -> None:
    item = asked("choice", answer="B", **OPTIONS)
    for right in ("B", "b.", "(B) striped red mug", "**B**", "答案：B", "选项B", "striped red mug"):
        assert worth(item, right) == 1
    assert worth(item, "A, B") == 0
    assert worth(item, "C") == 0


def test_a_ranking_is_worth_the_reciprocal_of_the_place() -> None:
    item = asked("rank", answer="B", **OPTIONS)
    assert worth(item, "B A C D") == 1
    assert worth(item, "A C B D") == pytest.approx(1 / 3)
    assert worth(item, "B A C") == 0
    assert worth(item, "B B B B") == 0


def test_a_record_is_worth_its_right_fields_where_it_is_valid() -> None:
    record = {
        "brand": "Lumo",
        "kind": "mug",
        "colour": "red",
        "pattern": "plain",
        "material": "ceramic",
        "pieces": 2,
        "price": 12.5,
        "in_stock": True,
    }
    item = asked("json", answer=json.dumps(record))
    assert worth(item, json.dumps(record)) == 1
    assert worth(item, f"```json\n{json.dumps(record | {'brand': 'LUMO '})}\n```") == 1
    assert worth(item, json.dumps(record | {"price": 12, "pieces": 1})) == pytest.approx(6 / 8)
    for broken in (
        json.dumps(record)[:-1],
        json.dumps(record | {"colour": "crimson"}),
        json.dumps(record | {"pieces": "2"}),
        json.dumps(record | {"more": 1}),
        json.dumps({"brand": "Lumo"}),
        "[1]",
    ):
        verdict = SCORERS["products_json"].score(item, broken)
        assert verdict == Verdict(0.0)
    assert set(json.loads(schema("zh"))["required"]) == set(record)
    assert "红色" in schema("zh")
    assert read_listing(json.dumps(record), "zh") is None
    assert listing("en") is listing("en")


@pytest.mark.parametrize("reply", HOSTILE, ids=[text[:6] for text in HOSTILE])
def test_hostile_replies_are_wrong(reply: str) -> None:
    spelled = {"accept": '["red"]', "rivals": '["blue"]'}
    for form, answer in (("yes_no", "yes"), ("price", "7.77"), ("number", "7"), ("code", "x_1")):
        if reply.startswith("是") and form == "yes_no":
            continue
        assert worth(asked("open", form=form, answer=answer), reply) == 0
    assert worth(asked("open", form="word", answer="red", **spelled), reply) == 0
    for way in ("choice", "rank", "json"):
        answer = '{"brand": "x"}' if way == "json" else "D"
        assert worth(asked(way, answer=answer, **OPTIONS), reply) == 0


def test_figures_are_means_over_tasks() -> None:
    def one(task: str, score: float, way: str = "open", extracted: str | None = "x") -> Scored:
        return Scored(asked(way, category=task), Verdict(score, extracted))

    scored = [one("live", 1.0), one("live", 0.0), one("live", 0.0), one("live", 1.0)]
    scored += [one("prices", 1.0), one("listings", 0.0, "json", None)]
    found = figures(scored)
    assert next(iter(found)) == "Overall"
    assert found["Overall"] == pytest.approx(50.0)
    assert (found["live"], found["prices"], found["by open"]) == (50.0, 100.0, 60.0)
    assert found["valid records"] == 0.0
    assert figures([]) == {"Overall": 0.0}
    assert SCORERS["products_open"].cluster(scored[0].item) == "1"


@pytest.fixture(scope="module")
def first() -> list[Item]:
    return list(items(len(CELLS)))


def test_every_right_answer_scores_in_full(first: list[Item]) -> None:
    for one in first:
        ranked = one.cells["way"] == "rank"
        assert worth(one, baselines.as_ranking(one, one.answer) if ranked else one.answer) == 1


def test_prompts_hold_options_only_where_they_are_to_be_seen(first: list[Item]) -> None:
    for one in first:
        shown = any(text in prompt(one) for text in one.options.values())
        assert shown == (one.cells["way"] == "choice")
        kinds = {type(part) for part in parts(one)}
        assert kinds == {Video if one.cells["media"] == "clip" else Image}
    chosen = next(one for one in first if one.cells["way"] == "choice")
    assert prompt(chosen).endswith("directly.")
    assert prompt(replace(chosen, cells={**chosen.cells, "language": "zh"})).endswith("字母。")


def test_grey_pictures_keep_their_sizes(first: list[Item]) -> None:
    for one in first[:14]:
        grey = baselines.blank(one)
        assert [p.size for p in grey.media] == [p.size for p in one.media]
        assert all(p.getextrema() == ((128, 128),) * 3 for p in grey.media)
        assert prompt(grey) == prompt(one)


def test_the_commonest_answer_by_wording_or_by_task() -> None:
    known = [
        asked("open", question=q, answer=a) for q, a in (("x 1", "3"), ("x 2", "4"), ("x", "4"))
    ]
    assert baselines.majority(known, [asked("open", question="x 9")]) == ["3"]
    assert baselines.majority(known, [asked("open", question="never asked")]) == ["4"]
    ranking = asked("rank", answer="C", **OPTIONS)
    assert baselines.majority([ranking], [ranking]) == ["C A B D"]


class Fake:
    """Finds the longest candidate the likeliest."""

    def score(self, request: Request, candidates: Any) -> list[float]:
        assert not any(text in request.messages[0].text for text in candidates)
        return [float(len(text)) for text in candidates]


def test_ranking_asks_for_likelihoods() -> None:
    item = asked("rank", answer="B", **OPTIONS)
    assert rank(likelihoods(Fake()), request(item), item.options) == "B C A D"
    with pytest.raises(ValueError, match="leave Products_Rank out"):
        likelihoods(object())
