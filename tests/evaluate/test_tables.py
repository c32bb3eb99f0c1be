"""Tables in the public format: what is read, what is refused, and how much of it is in memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluate.making import digits_table, easy_table, encoded, write_table
from valley.evaluate.benchmarks import BENCHMARKS, Benchmark, benchmark_of
from valley.evaluate.tables import Stored, digest_of, list_in, open_picture, read_table
from valley.media.images import open_image
from valley.media.limits import Limits, MediaError

STAR = benchmark_of("MMStar")
HEAD = b"index\timage\tquestion\tA\tB\tanswer\n"
RED = Image.new("RGB", (40, 30), (200, 10, 10))


def row(index: object, **cells: object) -> dict[str, object]:
    start = {"index": index, "image": encoded(RED), "question": "What?", "A": "x", "B": "y"}
    return {**start, "answer": "A", **cells}


def read(path: Path, *rows: dict[str, object], benchmark: Benchmark = STAR) -> Any:
    return read_table(write_table(path / benchmark.file, rows), benchmark)


def test_a_row_becomes_an_item(tmp_path: Path) -> None:
    table = read(tmp_path, row(7, hint="", C="a\tb\nc"))
    (item,) = table.items
    assert (item.id, item.question, item.answer) == ("7", "What?", "A")
    assert item.options == {"A": "x", "B": "y", "C": "a\tb\nc"}
    assert "hint" not in item.cells
    assert "image" not in item.cells
    assert open_picture(item.media[0]).tobytes() == RED.tobytes()
    data = table.path.read_bytes()
    assert table.sha256 == hashlib.sha256(data).hexdigest()
    assert table.md5 == hashlib.md5(data).hexdigest()


def test_a_stored_picture_is_a_medium_like_any_other(tmp_path: Path) -> None:
    (item,) = read(tmp_path, row(1)).items
    assert open_image(item.media[0]).size == (40, 30)
    with pytest.raises(MediaError, match="above the limit"):
        open_picture(item.media[0], Limits(max_pixels=100))


def test_pictures_are_shared_listed_and_skipped(tmp_path: Path) -> None:
    blue = Image.new("RGB", (20, 20), (0, 0, 255))
    listed = f"['{encoded(RED)}', '{encoded(blue)}']"
    rows = [
        row(10, image=listed),
        row(11, image="10"),
        row(12, image="99"),
        row(13, image=""),
        row(14, image="NA"),
        row(15, image="11"),
    ]
    table = read(tmp_path, *rows)
    assert [item.id for item in table.items] == ["10", "11"]
    for item in table.items:
        assert [open_picture(source).size for source in item.media] == [(40, 30), (20, 20)]
    assert digest_of(table.items[0].media[0]) == digest_of(table.items[1].media[0])
    assert digest_of(table.items[0].media[0]) != digest_of(table.items[0].media[1])
    assert table.skipped.total == 4
    assert "index 12): no picture: row '99'" in str(table.skipped)


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
        ("LA", (90, 0), (90, 90, 90)),
        ("L", 70, (70, 70, 70)),
    ],
)
def test_transparency_is_dropped_as_published(
    tmp_path: Path, mode: str, colour: Any, seen: tuple[int, ...]
) -> None:
    (item,) = read(tmp_path, row(1, image=encoded(Image.new(mode, (8, 8), colour)))).items
    assert open_picture(item.media[0]).getpixel((0, 0)) == seen


def test_a_jpeg_name_means_a_second_compression(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    cell = encoded(Image.fromarray(noise))
    plain, pressed = read(
        tmp_path, row(1, image=cell, image_path="a.png"), row(2, image=cell, image_path="a.JPG")
    ).items
    Image.fromarray(noise).save(tmp_path / "seen.jpg")
    with Image.open(tmp_path / "seen.jpg") as image:
        assert open_picture(pressed.media[0]).tobytes() == image.convert("RGB").tobytes()
    assert open_picture(plain.media[0]).tobytes() == noise.tobytes()
    assert digest_of(plain.media[0]) != digest_of(pressed.media[0])


def test_pictures_may_be_files(tmp_path: Path) -> None:
    for folder in ("images/MMStar", "."):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        RED.save(tmp_path / folder / "here.png")
    (tmp_path / "MMStar").mkdir()
    outside = tmp_path.parent / f"{tmp_path.name}.png"
    RED.save(outside)
    (tmp_path / "out.png").symlink_to(outside)
    rows = [row(1, image_path="here.png"), row(2, image_path="gone.png")]
    rows += [row(3, image_path="out.png"), row(4, image_path=f"../{outside.name}")]
    table = read(tmp_path, *({k: v for k, v in r.items() if k != "image"} for r in rows))
    assert [item.media for item in table.items] == [(tmp_path / "images/MMStar/here.png",)]
    assert table.skipped.counts["outside the data folder"] == 2


def test_clips_are_files(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    cells = {"prefix": "./", "video": "clip", "suffix": ".mp4", "candidates": "['a']"}
    cells |= {"index": 0, "question": "?", "answer": "a", "task_type": "t"}
    (item,) = read(tmp_path, cells, benchmark=benchmark_of("MVBench")).items
    assert item.media[0].samefile(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([row(1), row(1)], "lines 2 and 3 have the same index 1"),
        ([row("")], "2: the row has no index"),
        ([{"index": 1, "question": "?"}], "no column answer, A, B, image or image_path, which"),
        ([row(1, question="x" * 2**21)], "question holds 2097152 characters"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, rows: list[dict[str, object]], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        read(tmp_path, *rows)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + b"1\t\xff\xfe\n", "MMStar.tsv:2: not UTF-8"),
        ("index\tquestion\n1\tä\n".encode("utf-16"), "MMStar.tsv:1: not UTF-8"),
        (HEAD + b'1\t"open\n', "MMStar.tsv:2: not a table"),
        (b"", "no column index"),
        (HEAD + b"1\t2\t3\t4\t5\t6\t7\n", "2: 7 cells under 6 names"),
        (b"index\tindex\tquestion\tanswer\tA\tB\timage\n", "the column index twice"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "MMStar.tsv"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=problem):
        read_table(path, STAR)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--data"):
        read_table(tmp_path / "MMStar.tsv", STAR)


def test_short_rows_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "MMStar.tsv"
    head = "\ufeffindex\timage\tquestion\tanswer\tA\tB\tC\r\n"
    path.write_text(f"{head}1\t{encoded(RED)}\tQ\tA\tx\r\n\r\n", encoding="utf-8", newline="")
    (item,) = read_table(path, STAR).items
    assert item.options == {"A": "x"}
    assert open_picture(item.media[0]).size == (40, 30)


def test_a_table_that_changes_is_noticed(tmp_path: Path) -> None:
    table = read(tmp_path, row(1))
    write_table(table.path, [row(1, image=encoded(Image.new("RGB", (9, 9))))])
    with pytest.raises(MediaError, match="has changed"):
        table.items[0].media[0].read_bytes()


def test_damaged_base64_is_named(tmp_path: Path) -> None:
    cell = encoded(RED)
    (item,) = read(tmp_path, row(1, image=cell[:50] + "§" + cell[50:])).items
    with pytest.raises(MediaError, match="damaged"):
        open_picture(item.media[0])


def test_lists_are_read_and_nothing_is_run() -> None:
    assert list_in("['a', 1]") == ["a", "1"]
    for cell in ("a", "[", "[__import__('os')]", "[" * 10_000, "(1,)", "[1" + "+1" * 100_000 + "]"):
        assert list_in(cell) is None


def test_pictures_stay_on_the_disk(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    cell = encoded(Image.fromarray(noise))
    path = write_table(tmp_path / STAR.file, (row(i, image=cell) for i in range(60)))
    assert path.stat().st_size > 30_000_000
    tracemalloc.start()
    table = read_table(path, STAR)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
    assert isinstance(table.items[59].media[0], Stored)
    assert open_picture(table.items[59].media[0]).tobytes() == noise.tobytes()


def test_tables_of_public_pictures(tmp_path: Path) -> None:
    pope, ocr = benchmark_of("POPE"), benchmark_of("OCRBench")
    easy = read_table(easy_table(tmp_path / pope.file, 5), pope)
    assert len(easy.items) > 20
    assert {open_picture(item.media[0]).size for item in easy.items} == {(64, 64)}
    digits = read_table(digits_table(tmp_path / ocr.file, 40), ocr)
    assert list_in(digits.items[0].answer) == ["0"]
    assert len(digits.items) == 40


def test_benchmarks_have_names_of_their_own() -> None:
    assert len({benchmark.name.lower() for benchmark in BENCHMARKS}) == len(BENCHMARKS)
    assert all(len(benchmark.md5) in (0, 32) for benchmark in BENCHMARKS)
