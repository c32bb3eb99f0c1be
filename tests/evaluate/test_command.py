"""`valley eval` and `valley score` from the command line, over nano and over a server."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from engine.test_remote import Server, server  # noqa: F401  (a fixture)
from evaluate.making import digits_table, easy_table, write_table
from valley.cli import main
from valley.evaluate.command import Options, local_asker
from valley.evaluate.prompts import DEFAULT
from valley.evaluate.scoring import read_predictions, score_file
from valley.evaluate.store import read_answers


def valley(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    easy_table(folder / "POPE.tsv", 4)
    digits_table(folder / "OCRBench.tsv", 40)
    return folder


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nano over two benchmarks, 12 rows of each."""
    folder = tmp_path_factory.mktemp("out")
    names = ("-b", "POPE", "-b", "OCRBench")
    options = ("--limit", 12, "--max-new-tokens", 16, "--batch-size", 8)
    assert valley("eval", *names, "--data", data, "--out", folder, "-m", "nano", *options) == 0
    return folder


def texts(path: Path) -> list[str]:
    return [answer.raw for answer in read_answers(path).values()]


def test_a_run_says_what_it_was_made_with(data: Path, out: Path) -> None:
    record = json.loads((out / "POPE" / "run.json").read_text(encoding="utf-8"))
    table = (data / "POPE.tsv").read_bytes()
    assert record["table"]["sha256"] == hashlib.sha256(table).hexdigest()
    assert record["table"]["md5"] != record["table"]["published_md5"]
    assert record["source"]["dtype"] == "float32"
    assert len(record["source"]["digest"]) == 64
    assert record["prompts"] == {"name": "default", "version": "1", "source": DEFAULT.source}
    assert (record["asked"], record["sampling"]["max_new_tokens"]) == (12, 16)
    assert len(texts(out / "POPE" / "replies.jsonl")) == 12
    assert set(texts(out / "POPE" / "replies.jsonl")) == {"Yes", "No"}


def test_batches_of_eight_reply_as_single_questions_do(
    data: Path, out: Path, tmp_path: Path
) -> None:
    options = ("--limit", 12, "--max-new-tokens", 16, "--batch-size", 1)
    assert valley("eval", "-b", "POPE", "--data", data, "--out", tmp_path, *options) == 0
    assert texts(tmp_path / "POPE" / "replies.jsonl") == texts(out / "POPE" / "replies.jsonl")


def test_a_run_goes_on_only_where_it_is_told_to(
    data: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("eval", "-b", "POPE", "--data", data, "--out", tmp_path)
    limits = ("--limit", 3, "--max-new-tokens", 16)
    assert valley(*asked, *limits) == 0
    assert valley(*asked, *limits) == 2
    assert "--resume" in capsys.readouterr().err
    assert valley(*asked, "--limit", 12, "--max-new-tokens", 16, "--resume") == 0
    path = tmp_path / "POPE" / "replies.jsonl"
    assert texts(path) == texts(out / "POPE" / "replies.jsonl")
    assert path.read_bytes().count(b"\n") == 12


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("-b", "PAPE"), "did you mean POPE"),
        (("-b", "MMStar"), "there is no"),
        (("-b", "POPE", "--prompts", "none"), "there are no prompts"),
        (("-b", "POPE", "--prompts", "sail_vl"), "Valley2.5 has no max_tiles"),
        (("-b", "POPE", "--url", "nowhere"), "no address of a server"),
    ],
)
def test_mistakes_are_named_before_a_model_is_loaded(
    data: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert valley("eval", *arguments, "--data", data, "--out", tmp_path) == 2
    assert problem in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rows_that_cannot_be_asked_are_said_and_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (data / "POPE.tsv").read_text(encoding="utf-8").splitlines()[:4]
    cells = lines[2].split("\t")
    lines[2] = "\t".join([cells[0], "999", *cells[2:]])
    cells = lines[1].split("\t")
    lines[1] = "\t".join([cells[0], "A" * 100, *cells[2:]])
    (tmp_path / "POPE.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert valley("eval", "-b", "POPE", "--data", tmp_path, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "1 x no picture" in said
    assert "2 without a reply" in said


def test_a_server_is_asked_as_a_model_is(
    data: Path,
    tmp_path: Path,
    server: Server,  # noqa: F811
) -> None:
    asked = ("eval", "-b", "OCRBench", "--data", data, "--out", tmp_path, "--url", server.url)
    assert valley(*asked, "--limit", 5) == 0
    record = json.loads((tmp_path / "OCRBench" / "run.json").read_text(encoding="utf-8"))
    assert record["source"]["model"] == "first"
    assert texts(tmp_path / "OCRBench" / "replies.jsonl") == ["What number is written?"] * 5
    kinds = [part["type"] for part in server.asked[0]["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]


def test_a_benchmark_that_begins_the_reply_is_refused_where_the_server_cannot(
    tmp_path: Path,
    server: Server,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"index": 0, "question": "Which?", "answer": "a", "candidates": "['a', 'b']"}
    write_table(tmp_path / "MVBench.tsv", [row | {"task_type": "t", "video": "clip.mp4"}])
    asked = ("eval", "-b", "MVBench", "--data", tmp_path, "--out", tmp_path / "out")
    assert valley(*asked, "--url", server.url) == 2
    assert "MVBench begins the reply for the model" in capsys.readouterr().err
    assert server.asked == []
    assert not (tmp_path / "out").exists()


def test_the_line_chooses_the_prompts(tiny_valley2_5: Path) -> None:
    asker = local_asker(Options(str(tiny_valley2_5), max_new_tokens=7))
    assert (asker.prompts.name, asker.sampling.max_new_tokens) == ("valley2_5", 7)
    assert local_asker(Options(prompts="valley2_5_direct")).prompts.name == "valley2_5_direct"


def test_scores_of_a_run_are_written_beside_it(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = out / "POPE" / "replies.jsonl"
    for profile in ("strict", "vlmevalkit"):
        asked = ("score", replies, "-b", "POPE", "--profile", profile, "--json")
        assert valley(*asked) == 0
        scores = json.loads(capsys.readouterr().out)
        assert (scores["profile"], scores["samples"], scores["missing"]) == (profile, 12, 0)
        assert (out / "POPE" / f"scores.{profile}.json").exists()
    assert valley("score", replies, "-b", "POPE") == 0
    assert "12 samples, 0 missing, 0 unresolved" in capsys.readouterr().out


def test_predictions_from_elsewhere_are_scored(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [{"index": i, "prediction": f"It is {i % 10}."} for i in range(30)]
    table = write_table(tmp_path / "made.tsv", rows)
    lines = tmp_path / "made.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = []
    for file in (table, lines):
        assert valley("score", file, "-b", "OCRBench", "--data", data, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert (found[0]["samples"], found[0]["missing"]) == (40, 10)


def test_a_model_judges_what_rules_cannot_read(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "made.jsonl"
    rows = [{"index": n, "prediction": "perhaps" if n < 2 else "No"} for n in range(4)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = ("score", file, "-b", "POPE", "--data", data, "--json")
    assert valley(*asked) == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["judge"], scores["unresolved"]) == (None, 2)
    for _ in range(2):  # the second time nothing is asked
        assert valley(*asked, "--judge", "nano") == 0
        scores = json.loads(capsys.readouterr().out)
        assert scores["judge"].startswith("nano (")
        kept = read_answers(tmp_path / "judged.jsonl")
        assert 2 <= len(kept) <= 10
    assert len((tmp_path / "judged.jsonl").read_text().splitlines()) == len(kept)


@pytest.mark.parametrize(
    ("text", "arguments", "problem"),
    [
        ('{"index": 1, "prediction": "a"}\n', (), "name the folder of the tables"),
        ('{"prediction": "a"}\n', ("--data", "DATA"), "needs `index` and `prediction`"),
        ("[\n", ("--data", "DATA"), "not JSON"),
        ('{"index": 7}\n', ("--data", "DATA"), "no row has a `prediction`"),
        ('{"index": 77777, "prediction": "a"}\n', ("--data", "DATA"), "answers no row"),
        (None, ("--data", "DATA"), "give replies.jsonl of a run"),
    ],
)
def test_predictions_that_fit_nothing_are_named(
    data: Path,
    tmp_path: Path,
    text: str | None,
    arguments: tuple[str, ...],
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "made.jsonl"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    given = [str(data) if word == "DATA" else word for word in arguments]
    assert valley("score", file, "-b", "OCRBench", *given) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "a.tsv",
            "index\tprediction\n0\tcafé\n".encode("latin-1"),
            "a.tsv:1: not a table",
        ),
        ("a.tsv", "index\tprediction\n0\tx\n".encode("utf-16"), "a.tsv:1: not a table"),
        ("a.tsv", b"index\treply\n0\tx\n", "a.tsv: no row has a `prediction`"),
        ("a.tsv", b"number\tprediction\n0\tx\n", "a row needs `index` and `prediction`"),
        (
            "a.jsonl",
            '{"index": 0, "prediction": "é"}\n'.encode("latin-1"),
            "a.jsonl:1: a row",
        ),
        ("a.jsonl", b'{"index": 0, "prediction": ' + b"[" * 100_000, "a.jsonl:1: a row"),
    ],
)
def test_predictions_that_cannot_be_read_are_named(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        read_predictions(tmp_path / name)


def test_replies_of_a_megabyte_are_scored(data: Path, tmp_path: Path) -> None:
    """Control characters and halves of pairs of surrogates; in a spreadsheet the control characters
    are escapes that hold the answers 0 and 1."""
    file = tmp_path / "made.jsonl"
    row = json.dumps({"prediction": "\x00\x1b[m\ud800" * 200_000})
    file.write_text("".join(f'{{"index": {n}, {row[1:]}\n' for n in range(3)), encoding="utf-8")
    for profile, right in (("strict", 0), ("vlmevalkit", 2)):
        scores, _ = score_file(file, "OCRBench", profile, data)
        assert (scores.samples, scores.missing, scores.figures[0].value) == (40, 37, right)
