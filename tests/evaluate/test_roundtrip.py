"""What a spreadsheet and a table make of text, as pandas 2 and 3 do."""

from __future__ import annotations

import pytest

from valley.evaluate.items import Item
from valley.evaluate.roundtrip import CELL, column, spreadsheet, table


@pytest.mark.parametrize("word", ["None", "NA", "N/A", "null", "nan", "<NA>", "#N/A", ""])
def test_words_for_missing_are_missing(word: str) -> None:
    assert spreadsheet([word, "dog"]) == ["nan", "dog"]


@pytest.mark.parametrize("text", ["TRUE", "1,000", "2020-01-01", " dog ", "none", "missing"])
def test_other_text_stays(text: str) -> None:
    assert spreadsheet([text, "dog"]) == [text, "dog"]


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        (["007", "14"], ["7", "14"]),
        (["007", "NA"], ["7.0", "nan"]),
        (["1.50", "2"], ["1.5", "2.0"]),
        (["007", "dog"], ["007", "dog"]),  # one reply decides what the others are
        (["true", "FALSE"], ["True", "False"]),
        (["99999999999999999999", "1.5"], ["99999999999999999999", "1.5"]),
    ],
)
def test_a_column_of_numbers_is_numbers(texts: list[str], read: list[str]) -> None:
    assert spreadsheet(texts) == read


def test_what_a_cell_cannot_hold() -> None:
    long = "x" * (CELL + 10)
    assert spreadsheet([long, "\x07", "=1+1"]) == ["x" * CELL, "_x0007_", "0"]


def test_cells_of_a_table_go_missing() -> None:
    items = [Item("1", {"A": "None", "B": "007"}), Item("2", {"A": "cat", "B": "8"})]
    assert [item.cells for item in table(items)] == [{"B": "7"}, {"A": "cat", "B": "8"}]
    assert column(["dog", None]) == ["dog", None]


def test_links_lose_their_kind_where_they_begin() -> None:
    texts = ["mailto:a@b.c", "write to mailto:a@b.c", "internal:Sheet1", "12:30"]
    assert spreadsheet(texts) == ["a@b.c", "write to mailto:a@b.c", "Sheet1", "12:30"]


@pytest.mark.parametrize("text", [" " * 10**6 + "x", "9" * 10**6 + "x", "1." + "0" * 10**6 + "e"])
def test_a_long_cell_that_is_nearly_a_number_is_read(text: str) -> None:
    """Work that grows with the square of its length would not end."""
    assert column([text, "7"]) == [text, "7"]
