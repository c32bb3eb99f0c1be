"""Rows as other projects write them, and the samples they are."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from valley.data.formats import FORMATS, format_of, read_samples
from valley.data.reading import DataError, Skipped
from valley.data.records import Pair
from valley.types import Audio, Image, Message, Sample, Video

A, B = Image("a.png"), Image("b.png")
of = Message.of

CASES: dict[str, tuple[str, dict[str, Any], Sample]] = {
    "llava": (
        "llava",
        {
            "id": "000000033471",
            "image": "a.png",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat colour is the bus?"},
                {"from": "gpt", "value": "White and red."},
            ],
        },
        Sample(
            (of("user", A, "What colour is the bus?"), of("assistant", "White and red.")),
            "000000033471",
        ),
    ),
    "llava, several pictures at their places": (
        "llava",
        {
            "image": ["a.png", "b.png"],
            "conversations": [
                {"from": "human", "value": "<image>\n<image>\nCompare."},
                {"from": "gpt", "value": "Alike."},
            ],
        },
        Sample((of("user", A, B, "Compare."), of("assistant", "Alike."))),
    ),
    "llava, a picture among words keeps its newline": (
        "llava",
        {
            "image": ["a.png", "b.png"],
            "conversations": [
                {"from": "human", "value": "First <image>\nthen <image>."},
                {"from": "gpt", "value": "Alike."},
            ],
        },
        Sample((of("user", "First ", A, "\nthen ", B, "."), of("assistant", "Alike."))),
    ),
    "llava, a clip": (
        "llava",
        {
            "id": 3,
            "video": "a.mp4",
            "data_source": "x",
            "conversations": [
                {"from": "human", "value": "Who?\n<video>"},
                {"from": "gpt", "value": "A dog."},
            ],
        },
        Sample(
            (of("user", "Who?\n", Video("a.mp4")), of("assistant", "A dog.")),
            "3",
            {"data_source": "x"},
        ),
    ),
    "sharegpt": (
        "llava",
        {
            "conversations": [
                {"from": "human", "value": "<image>Where?"},
                {"from": "gpt", "value": "Here."},
                {"from": "human", "value": "And <image>?"},
                {"from": "gpt", "value": "There."},
            ],
            "system": "Be short.",
            "images": ["a.png", "b.png"],
        },
        Sample(
            (
                of("system", "Be short."),
                of("user", A, "Where?"),
                of("assistant", "Here."),
                of("user", "And ", B, "?"),
                of("assistant", "There."),
            )
        ),
    ),
    "sharegpt, preference": (
        "llava",
        {
            "conversations": [{"from": "human", "value": "<image>What?"}],
            "chosen": {"from": "gpt", "value": "A cat."},
            "rejected": {"from": "gpt", "value": "A dog."},
            "images": ["a.png"],
        },
        Sample((of("user", A, "What?"), of("assistant", "A cat.")), meta={"rejected": "A dog."}),
    ),
    "swift": (
        "swift",
        {
            "messages": [
                {"role": "system", "content": "You see."},
                {"role": "user", "content": "<image><image>Which?"},
                {"role": "assistant", "content": "The first."},
            ],
            "images": ["a.png", "b.png"],
        },
        Sample(
            (of("system", "You see."), of("user", A, B, "Which?"), of("assistant", "The first."))
        ),
    ),
    "swift, preference, without a placeholder": (
        "swift",
        {
            "messages": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "A cat."},
            ],
            "images": [{"path": "a.png", "bytes": None}],
            "videos": ["v.mp4"],
            "rejected_response": "A dog.",
        },
        Sample(
            (of("user", A, Video("v.mp4"), "What?"), of("assistant", "A cat.")),
            meta={"rejected": "A dog."},
        ),
    ),
    "swift, rejected messages": (
        "swift",
        {
            "messages": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "A cat."},
            ],
            "rejected_messages": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "A dog."},
            ],
        },
        Sample((of("user", "What?"), of("assistant", "A cat.")), meta={"rejected": "A dog."}),
    ),
    "swift, query": (
        "swift",
        {
            "system": "Be kind.",
            "history": [["<image>What?", "A cat."]],
            "query": "<audio>And now?",
            "response": "A mew.",
            "images": ["a.png"],
            "audios": ["a.wav"],
        },
        Sample(
            (
                of("system", "Be kind."),
                of("user", A, "What?"),
                of("assistant", "A cat."),
                of("user", Audio("a.wav"), "And now?"),
                of("assistant", "A mew."),
            )
        ),
    ),
    "swift, rewards": (
        "swift",
        {"query": "<image>How many?", "solution": "4", "domain": "counting", "images": "a.png"},
        Sample((of("user", A, "How many?"),), meta={"domain": "counting", "answer": "4"}),
    ),
    "trl, messages": (
        "trl",
        {
            "images": ["a.png"],
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "<b>?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Bold.", "x": None}]},
            ],
        },
        Sample((of("user", A, "<b>?"), of("assistant", "Bold."))),
    ),
    "trl, prompt and completion": (
        "trl",
        {"prompt": "The sky is", "completion": " blue."},
        Sample((of("user", "The sky is"), of("assistant", " blue."))),
    ),
    "trl, preference": (
        "trl",
        {
            "images": ["a.png"],
            "prompt": [{"role": "user", "content": "What?"}],
            "chosen": [{"role": "assistant", "content": "A cat."}],
            "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "A dog."}]}],
            "score": 0.5,
        },
        Sample(
            (of("user", A, "What?"), of("assistant", "A cat.")),
            meta={"score": 0.5, "rejected": "A dog."},
        ),
    ),
    "trl, preference whose prompt is not set apart": (
        "trl",
        {
            "chosen": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "A cat."},
            ],
            "rejected": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "A dog."},
            ],
        },
        Sample((of("user", "What?"), of("assistant", "A cat.")), meta={"rejected": "A dog."}),
    ),
    "trl, rewards": (
        "trl",
        {
            "prompt": [{"role": "user", "content": [{"type": "image"}, "How many?"]}],
            "image": "a.png",
            "answer": "4",
            "domain": "counting",
        },
        Sample((of("user", A, "How many?"),), meta={"answer": "4", "domain": "counting"}),
    ),
    "table": (
        "table",
        {"question": "Is it?", "answer": "Yes.", "image": "a.png", "system": "S.", "split": "t"},
        Sample(
            (of("system", "S."), of("user", A, "Is it?"), of("assistant", "Yes.")),
            meta={"answer": "Yes.", "split": "t"},
        ),
    ),
    "table, a reply and an answer": (
        "table",
        {"prompt": "1+1?", "response": "It is 2.", "answer": "2", "rejected": "3", "id": 5},
        Sample(
            (of("user", "1+1?"), of("assistant", "It is 2.")),
            "5",
            {"answer": "2", "rejected": "3"},
        ),
    ),
    "table, a list of pictures in a cell": (
        "table",
        {"question": "Same?", "images": '["a.png", "b.png"]'},
        Sample((of("user", A, B, "Same?"),)),
    ),
    "record": (
        "record",
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "image": "a.png"}, "<image>"]}
            ]
        },
        Sample((of("user", A, "<image>"),)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_row_is_known_by_its_fields_and_becomes_a_sample(name: str) -> None:
    form, row, expected = CASES[name]
    before = json.dumps(row)
    assert format_of(row) == form
    assert FORMATS[form](row) == expected
    assert json.dumps(row) == before, "a row must not be changed"


def test_every_row_of_a_file_tells_its_own_format(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for _, row, _ in CASES.values()), "utf-8")
    read = list(read_samples(file, media_root=""))
    assert read == [expected for _, _, expected in CASES.values()]
    first = next(read_samples(file))
    assert first.messages[0].parts[0] == Image(str(tmp_path / "a.png"))


def test_a_format_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "1+1?", "answer": "2"}')
    (by_content,) = read_samples(tmp_path / "a.jsonl")
    (named,) = read_samples(tmp_path / "a.jsonl", format="trl")
    assert [len(by_content.messages), len(named.messages)] == [2, 1]
    assert named.meta == by_content.meta == {"answer": "2"}
    with pytest.raises(
        ValueError, match="unknown format 'lava': use one of record, llava, sharegpt"
    ):
        read_samples(tmp_path / "a.jsonl", format="lava")


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "a"}, r"no known layout has these fields: text \(rename"),
        (
            {"conversations": [human("<image> <image>")], "image": "a.png"},
            "placeholders and media differ: 2 times <image>, 1 in the columns 'image' and 'images'",
        ),
        ({"conversations": [human("<image>")]}, "1 times <image>, 0 in the columns"),
        (
            {"conversations": [human("<image>")], "image": ["a.png", "b.png"]},
            "1 times <image>, 2 in the columns",
        ),
        ({"conversations": [human("<video>")], "image": "a.png"}, "1 times <video>, 0 in"),
        ({"conversations": []}, "a row without turns"),
        ({"conversations": None}, "turns must be a list: got NoneType"),
        ({"conversations": ["a"]}, "a turn needs a role and content: got 'a'"),
        ({"conversations": [{"from": "tool", "value": "a"}]}, "unknown role 'tool'"),
        ({"conversations": [{"from": "gpt", "value": 3}]}, "a turn must be a string or a list"),
        (
            {"conversations": [{"from": "gpt", "value": "a"}], "image": "a.png"},
            "no user turn to put them in",
        ),
        ({"conversations": [human("<image>")], "image": 3}, "named by a path or URL: got 3"),
        ({"conversations": [human("<image>")], "image": {}}, "a medium without a source"),
        ({"query": "a", "history": [["b"]]}, "not enough values"),
        ({"query": "a", "rejected_response": ["b"]}, "the rejected reply must be text"),
        ({"prompt": "a", "chosen": "b", "rejected": human("c")}, "turns must be a list: got dict"),
        (
            {"prompt": "a", "chosen": "b", "rejected": [human("c"), human("d")]},
            "must differ in one reply: got 2 turns",
        ),
        (
            {"prompt": "a", "chosen": [human("b"), human("c")], "rejected": "d"},
            "must differ in one reply: got 2 turns",
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": [human("c")]},
            "must be replies of text by the assistant",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "names no source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}], "images": []},
            "1 times <image>, 0 in",
        ),
    ],
)
def test_a_broken_row_is_named_with_its_reason(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("\n" + json.dumps(row))
    with pytest.raises(DataError, match=reason) as caught:
        list(read_samples(file))
    assert str(caught.value).startswith(f"{file}:2: ")
    skipped = Skipped()
    assert list(read_samples(file, skipped=skipped)) == []
    assert skipped.total == 1


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_tables_of_text(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if suffix == ".csv" else "\t")
    writer.writerows(
        [
            ["", "image", "question", "answer", "system", "rejected"],
            ["0", "a.png", "What,\nthen?", 'A "cat".', "", ""],
            ["1", "", "Why?", "So.", "Be kind.", "No."],
            ["2", "", "Why?", "So.", "", "", "left over"],
        ]
    )
    file.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    skipped = Skipped()
    read = list(read_samples(file, media_root="", skipped=skipped))
    assert [sample.messages for sample in read] == [
        (of("user", A, "What,\nthen?"), of("assistant", 'A "cat".')),
        (of("system", "Be kind."), of("user", "Why?"), of("assistant", "So.")),
    ]
    assert [sample.meta.get("rejected") for sample in read] == [None, "No."]
    assert f"{file}:5: more cells than column names" in str(skipped)


@pytest.mark.parametrize("content", [b'question,answer\n"a,b\n', b"question\n\xff\n"])
def test_a_broken_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.csv:\d: not a table"):
        list(read_samples(tmp_path / "a.csv", skipped=Skipped()))


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    rows = [
        {"question": "What?", "answer": "A cat.", "image": {"bytes": b"\x89PNG", "path": "a.png"}},
        {"question": "Why?", "answer": "So.", "image": None},
        {"question": None, "answer": "So.", "image": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), file)
    skipped = Skipped()
    first, second = read_samples(file, skipped=skipped)
    assert first.messages == (of("user", Image(b"\x89PNG"), "What?"), of("assistant", "A cat."))
    assert second.messages == (of("user", "Why?"), of("assistant", "So."))
    assert f"{file}[2]: no known layout" in str(skipped)


def test_parquet_of_conversations(tmp_path: Path) -> None:
    rows = [row for name, (_, row, _) in CASES.items() if name == "trl, preference"]
    rows[0] = rows[0] | {"rejected": [{"role": "assistant", "content": "A dog."}]}
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (read,) = read_samples(tmp_path / "a.parquet", media_root="")
    assert read == CASES["trl, preference"][2]
    assert Pair.of(read) == Pair((of("user", A, "What?"),), "A cat.", "A dog.")


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"a\.parquet: not a parquet file"):
        list(read_samples(tmp_path / "a.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'valley-vlm\[train\]'"):
        list(read_samples(tmp_path / "a.parquet"))
