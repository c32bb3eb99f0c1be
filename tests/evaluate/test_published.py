"""The published averages follow from the published figures."""

from __future__ import annotations

import pytest

from valley.evaluate.published import (
    AVERAGES,
    Table,
    average,
    benchmarks_of_columns,
    columns_of,
    published,
    tables,
)
from valley.families import FAMILIES

CARD, TABLE_5, TABLE_6, TABLE_10, README, IN_HOUSE = tables()


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("model", CARD.models)
def test_the_averages_of_the_sail_vl_card(model: str, name: str) -> None:
    percents = CARD.percents(model)
    assert average(name, percents) == pytest.approx(percents[name], abs=0.005 + 1e-9)


@pytest.mark.parametrize(
    ("table", "model"), [(table, model) for table in (TABLE_5, README) for model in table.models]
)
def test_the_opencompass_averages(table: Table, model: str) -> None:
    percents = table.percents(model)
    found = average("OpenCompass average", percents)
    assert found == pytest.approx(percents["OpenCompass average"], abs=0.05 + 1e-9)


@pytest.mark.parametrize("model", TABLE_10.models)
def test_the_averages_of_the_mini_benchmarks(model: str) -> None:
    *scores, printed = TABLE_10.percents(model).values()
    assert sum(scores) / len(scores) == pytest.approx(printed, abs=0.01)


def test_twenty_four_averages_were_checked() -> None:
    assert len(CARD.models) * len(AVERAGES) == 24
    assert [len(names) for names in AVERAGES.values()] == [8, 14, 5, 6]


def test_an_average_needs_all_its_sets() -> None:
    percents = CARD.percents("SAIL-VL-1.6-8B")
    del percents["OCRBench"]
    assert average("OpenCompass average", percents) is None
    assert average("General QA average", percents) == pytest.approx(73.56, abs=0.005)


def test_a_run_is_turned_into_columns() -> None:
    found = columns_of(
        {"MMBench_DEV_EN_V11": 80.0, "MMBench_DEV_CN_V11": 70.0, "MME": 81.0, "x": 1}
    )
    assert found == {"MMBench": 75.0, "MMBench EN": 80.0, "MMBench CN": 70.0, "MME": 81.0}


def test_what_stands_beside_a_benchmark() -> None:
    found = {one.model: one.percent for one in published("OCRBench", "sail_vl")}
    assert found["SAIL-VL-1.6-8B"] == 91.0
    assert len(found) == 6
    assert sum(one.own for one in published("OCRBench", "sail_vl")) == 2
    assert {one.table.name for one in published("MathVista_MINI", "valley2_5")} == {
        TABLE_5.name,
        TABLE_6.name,
    }
    assert len(list(published("DocVQA_VAL"))) == 6 + 7
    assert list(published("no such set")) == []


def test_tables_are_of_lines_that_exist_and_columns_of_one_meaning() -> None:
    names = {family.name for family in FAMILIES}
    for table in tables():
        assert table.line in names
        assert table.source
        assert set(table.own) <= table.models.keys()
        assert all(len(row) == len(table.columns) for row in table.models.values())
        assert set(table.full) <= set(table.columns)
    assert {c for a in AVERAGES.values() for c in a} <= benchmarks_of_columns().keys()
