"""Folders and rows of data files as products: each has a name, none is dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from model.pictures import picture
from valley.caption.products import Input, Product, parts_of
from valley.types import Image, Text, Video

ROWS: list[dict[str, Any]] = [
    {"id": "a", "image": "one.png", "title": "A mug", "rules": ["No shouting.", "No lies."]},
    {"id": 7, "images": ["one.png", "sub/two.png"], "ocr": ["SALE", "", " 50% "]},
    {"video": "clip.mp4", "frames": ["one.png", "sub/two.png"], "asr": "hello", "price": "9"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(("one.png", "sub/two.png")):
        picture(number, 56, 56).save(tmp_path / name)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def lines(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_holds_its_pictures_and_clips(folder: Path) -> None:
    products = list(Input([folder]))
    assert [product.name for product in products] == ["clip.mp4", "one.png", "sub/two.png"]
    assert [type(product.parts[0]) for product in products] == [Video, Image, Image]
    assert all(product.root == folder for product in products)


def test_rows_become_media_and_words(folder: Path) -> None:
    found = Input([lines(folder, *ROWS)])
    one, two, three = found
    path = str(folder / "one.png")
    assert one == Product(
        "a", (Image(path), Text("Title: A mug\nRules: No shouting.\nNo lies.")), folder
    )
    assert two.name == "7"
    assert [part.source for part in two.parts[:2]] == [path, str(folder / "sub/two.png")]
    assert two.parts[2] == Text("Text in the pictures: SALE\n50%")
    assert three.name == "rows.jsonl:3"
    clip, frames, words = three.parts
    assert clip == Video(str(folder / "clip.mp4"))
    assert frames == Video((path, str(folder / "sub/two.png")))
    assert words == Text("Speech: hello")
    assert found.unused == {"price": 1}


def test_parquet_holds_pictures_as_bytes_too(folder: Path) -> None:
    data = (folder / "one.png").read_bytes()
    rows = [
        {"id": "x", "image": {"bytes": data, "path": None}, "title": "A mug"},
        {"id": "y", "image": {"bytes": None, "path": "one.png"}, "title": None},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rows.parquet")
    stored, named = Input([folder / "rows.parquet"])
    assert stored.parts == (Image(data), Text("Title: A mug"))
    assert named.parts == (Image(str(folder / "one.png")),)


def test_media_of_rows_may_lie_elsewhere(folder: Path) -> None:
    path = lines(folder / "sub", {"id": "a", "image": "sub/two.png"})
    (product,) = Input([path], folder)
    assert product.parts == (Image(str(folder / "sub/two.png")),)
    assert product.root == folder


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "not JSON"),
        ("[1]", "an object with named fields"),
        ({"id": "q"}, "nothing to look at"),
        ({"id": "q", "title": 5}, "title must be a text"),
        ({"id": "q", "image": 5}, "a medium must be named"),
    ],
)
def test_a_wrong_row_keeps_its_place_and_says_why(folder: Path, row: object, problem: str) -> None:
    good, bad, last = Input([lines(folder, ROWS[0], row, ROWS[1])])
    assert (good.problem, last.problem) == (None, None)
    assert bad.name == ("q" if isinstance(row, dict) else "rows.jsonl:2")
    assert problem in str(bad.problem)


def test_names_are_unique(folder: Path) -> None:
    with pytest.raises(ValueError, match="2 products are called 'a': give each its own id"):
        _ = Input([lines(folder, ROWS[0], ROWS[0])]).names
    assert Input([lines(folder, *ROWS)]).names == ["a", "7", "rows.jsonl:3"]


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file or folder"):
        _ = Input([folder / "nowhere"]).names


def test_words_alone_are_a_product() -> None:
    assert parts_of({"title": "A mug"}) == (Text("Title: A mug"),)
