"""Schemas from files and replies against them; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valley import schema

CARD = json.dumps(
    {
        "type": "object",
        "properties": {"unit": {"enum": ["$", "€"]}, "price": {"type": "number", "minimum": 0}},
        "required": ["unit"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    "text", ['{"unit": "$"}', '{"price": 1e2, "unit": "€"}', ' {"unit":"$","price":0}\n']
)
def test_a_reply_of_the_schema_is_its_value(text: str) -> None:
    assert schema.value_of(text, CARD) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"unit": "£"}', "/unit: "),
        ('{"price": 1}', '"unit" is a required property'),
        ('{"unit": "$", "price": -1}', "/price: -1 is less than the minimum"),
        ('{"unit": "$", "price": Infinity}', "Infinity is no number"),
        ('{"unit": "$"} and more', "not JSON: Extra data"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_is_not_of_the_schema_is_said_in_a_line(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="not ") as refused:
        schema.value_of(text, CARD)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_schemas_elsewhere_are_not_fetched() -> None:
    elsewhere = '{"$ref": "http://127.0.0.1:9/schema.json"}'
    with pytest.raises(ValueError, match="not fetch"):
        schema.value_of("1", elsewhere)
    with pytest.raises(ValueError, match="not fetch"):
        schema.schema_text(elsewhere)


def test_a_schema_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(json.loads(CARD), indent=2), encoding="utf-8")
    assert json.loads(schema.read_schema(path)) == json.loads(CARD)
    assert "\n" not in schema.read_schema(path)
    assert schema.choices_of(CARD, "unit") == ("$", "€")
    for field in ("price", "nothing"):
        with pytest.raises(ValueError, match=f"no field '{field}'"):
            schema.choices_of(CARD, field)
    for text, problem in (("{", "schema.json: "), ('{"type": "odd"}', "not to be used")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=problem):
            schema.read_schema(path)
    with pytest.raises(ValueError, match="cannot be read"):
        schema.read_schema(tmp_path / "nowhere.json")
