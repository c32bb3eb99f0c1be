"""The data record: both ways, media paths, what is refused and how it is named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.formats import open_samples
from valley.data.reading import DataError, Skipped
from valley.data.records import Pair, from_record, read_records, to_record, write_records
from valley.types import Audio, Image, Message, Sample, Text, Video

PNG = b"\x89PNG\r\n\x1a\n"


def sample_of(*parts: Image | Video | Audio | str, **fields: object) -> Sample:
    return Sample((Message.of("user", *parts), Message.of("assistant", "Yes.")), **fields)  # type: ignore[arg-type]


def test_a_record_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": "7", "messages": [{"role": "user", "content": [{"type": "image", "image":'
        ' "b/c.png"}, {"type": "text", "text": "What is it?"}]}, {"role": "assistant",'
        ' "content": "A cat."}], "meta": {"domain": "animals"}}\n\n'
        '{"id": 8, "messages": [{"role": "user", "content": "Hé?"}]}\n',
        encoding="utf-8",
    )
    first, second = read_records(tmp_path / "a.jsonl")
    assert first == Sample(
        (
            Message.of("user", Image(str(tmp_path / "b/c.png")), "What is it?"),
            Message.of("assistant", "A cat."),
        ),
        "7",
        {"domain": "animals"},
    )
    assert second == Sample((Message.of("user", "Hé?"),), "8")


words = st.text(max_size=5)
names = st.sampled_from(["a.png", "b/c.png", "ä ö.png", "b/../d.png"])
media = st.one_of(
    st.builds(Image, names),
    st.builds(Audio, names),
    st.builds(Video, names | st.lists(names, min_size=1, max_size=3).map(tuple)),
    st.just(Image("https://example.org/a.png")),
    st.just(Image("data:image/png;base64,AAAA")),
    st.just(Image("sha256:" + "0" * 64)),
)
messages = st.builds(
    lambda role, parts: Message.of(role, *parts),
    st.sampled_from(["system", "user", "assistant"]),
    st.lists(st.builds(Text, words) | media, max_size=4),
)
samples = st.builds(
    Sample,
    st.lists(messages, min_size=1, max_size=3).map(tuple),
    st.none() | words,
    st.dictionaries(words, st.none() | st.integers() | words | st.lists(words), max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(samples, max_size=2))
def test_what_is_written_is_read(given_: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, again = Path(folder, "a.jsonl"), Path(folder, "b.jsonl")
        file.write_text("".join(json.dumps(to_record(s)) + "\n" for s in given_), "utf-8")
        read = list(read_records(file))
        assert write_records(again, read) == len(given_)
        assert list(read_records(again)) == read
        assert [json.loads(line) for line in again.read_text("utf-8").splitlines()] == [
            json.loads(json.dumps(to_record(s))) for s in given_
        ]


def test_paths_are_taken_below_the_media_root_and_written_relative_to_it(tmp_path: Path) -> None:
    root, file = tmp_path / "media", tmp_path / "out" / "a.jsonl"
    file.parent.mkdir()
    inside, outside = root / "x" / "a.png", tmp_path / "b.png"
    write_records(file, [sample_of(Image(inside), Image(str(outside)))], media_root=root)
    content = json.loads(file.read_text("utf-8"))["messages"][0]["content"]
    assert [part["image"] for part in content] == ["x/a.png", str(outside)]
    (read,) = read_records(file, media_root=tmp_path / "elsewhere")
    paths = [part.source for part in read.messages[0].parts]  # type: ignore[union-attr]
    assert paths == [str(tmp_path / "elsewhere/x/a.png"), str(outside)]


def test_bytes_are_written_as_a_data_uri(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", [sample_of(Image(PNG))])
    (read,) = read_records(tmp_path / "a.jsonl")
    assert read.messages[0].parts == (Image("data:image/png;base64,iVBORw0KGgo="),)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (sample_of(Image(np.zeros((2, 2))), id="4"), "sample 4: <ndarray> cannot be written"),
        (sample_of(Image(b"text"), id="4"), "sample 4: <4 bytes> cannot be written"),
        (sample_of("a", id="4", meta={"x": {1}}), "sample 4 does not fit into JSON"),
        (sample_of("\ud800", id="4"), "sample 4 does not fit into JSON"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path: Path, sample: Sample, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text("before")
    with pytest.raises(ValueError, match=reason):
        write_records(tmp_path / "a.jsonl", [sample_of("good"), sample])
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert (tmp_path / "a.jsonl").read_text() == "before"


GOOD = '{"messages": [{"role": "user", "content": "a"}]}'
BAD = {
    "{": "not JSON: ",
    "[1, 2]": "a row must be an object with named fields: got list",
    "\udcff": "not JSON: ",
    "[" * 100_000: "not JSON: ",
    "{}": "a record needs a list of messages",
    '{"messages": []}': "a record needs a list of messages",
    '{"messages": [], "image": 1}': "unknown field 'image': a record has id, messages and meta",
    GOOD[:-1] + ', "meta": [1]}': "meta must be an object: got list",
    GOOD.replace("user", "robot"): "unknown role 'robot'",
    '{"messages": [3]}': "a message needs 'role' and 'content'",
    '{"messages": [{"role": "user", "content": 3}]}': "message content must be a string or a list",
    '{"messages": [{"role": "user", "content": [3]}]}': "malformed: AttributeError",
    '{"messages": [{"role": "user", "content": [{"type": "text"}]}]}': "malformed: KeyError 'text'",
    '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}': (
        "the image part {'type': 'image'} names no source"
    ),
}


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_malformed_line_is_named_with_its_reason(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.jsonl"
    text = f"{GOOD}\n\n{line}\n{GOOD}\n"
    # A list on the first line would make the file an array; the bad line is the third.
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as caught:
        list(read_records(file))
    assert str(caught.value).startswith(f"{file}:3: {BAD[line]}")
    assert "\n" not in str(caught.value)
    skipped = Skipped()
    assert len(list(read_records(file, skipped=skipped))) == 2
    assert skipped.total == 1
    assert f"{file}:3: {BAD[line]}" in str(skipped)


def test_skipped_counts_reasons_and_keeps_the_first_examples() -> None:
    skipped = Skipped(keep=2)
    skipped.add("a:9", "broken media: x.png")
    for number in range(5):
        skipped.add(f"a:{number}", f"not JSON: char {number}")
    assert skipped.total == 6
    assert str(skipped).splitlines() == [
        "6 skipped",
        "5 x not JSON",
        "    a:0: not JSON: char 0",
        "    a:1: not JSON: char 1",
        "1 x broken media",
        "    a:9: broken media: x.png",
    ]


def test_a_byte_order_mark_and_a_json_array_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    (tmp_path / "b.json").write_text(f"\ufeff [\n{GOOD}, {{}}]", "utf-8")
    assert len(list(read_records(tmp_path / "a.jsonl"))) == 1
    skipped = Skipped()
    assert len(list(read_records(tmp_path / "b.json", skipped=skipped))) == 1
    assert f"{tmp_path / 'b.json'}[1]: a record needs" in str(skipped)
    (tmp_path / "c.json").write_text(f"[{GOOD}")
    with pytest.raises(DataError, match=r"c\.json: not JSON"):
        list(read_records(tmp_path / "c.json", skipped=skipped))


def test_a_pair_is_the_last_message_and_the_rejected_reply() -> None:
    sample = sample_of("Is it?", id="1", meta={"rejected": "No."})
    assert Pair.of(sample) == Pair(sample.messages[:1], "Yes.", "No.")


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (sample_of("a", id="1"), "sample 1 is no pair: meta holds no rejected reply"),
        (sample_of("a", meta={"rejected": 3}), "meta holds no rejected reply"),
        (sample_of("a", meta={"rejected": "Yes."}), "both replies are the same"),
        (
            Sample((Message.of("user", "a"), Message.of("user", "b")), meta={"rejected": "c"}),
            "must end with the chosen reply",
        ),
        (Sample((Message.of("assistant", "a"),), meta={"rejected": "c"}), "must end with the"),
    ],
)
def test_what_is_no_pair(sample: Sample, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Pair.of(sample)


def test_from_record_keeps_what_to_record_gives() -> None:
    sample = sample_of(Image("a"), "b", id="1", meta={"answer": "42"})
    assert from_record(to_record(sample)) == sample


def test_lines_are_parsed_when_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = '{"id": "%d", "messages": [{"role": "user", "content": "Ä?"}]}'
    path.write_text("\n".join([line % 0, "", "{", line % 2]) + "\n", encoding="utf-8")
    samples = open_samples(path)
    assert len(samples) == 3
    assert [samples[0].id, samples[-1].id] == ["0", "2"]
    assert samples[2].messages[0].text == "Ä?"
    with pytest.raises(DataError, match=r"a\.jsonl, byte \d+: not JSON"):
        samples[1]
    with pytest.raises(IndexError):
        samples[3]
