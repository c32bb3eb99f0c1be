"""`valley caption` from the command line: nano, a server, mistakes of one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import valley
from engine.test_likelihoods import in_one_pass
from engine.test_remote import Server, completion, server  # noqa: F401  (a fixture)
from valley import schema
from valley.caption.command import task_of
from valley.caption.products import Input
from valley.cli import main
from valley.types import Budget

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDS, SCHEMA = EXAMPLES / "caption" / "records.jsonl", EXAMPLES / "caption" / "product.json"


def caption(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    torch.set_num_threads(1)
    with pytest.raises(SystemExit) as stop:
        main(["caption", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_records_become_verdicts_of_the_schema(capsys: Any, tmp_path: Path) -> None:
    rows = RECORDS.read_text(encoding="utf-8")
    broken = [
        '{"id": "gone", "image": "media/gone.png"}',
        '{"id": "outside", "image": "/etc/hosts"}',
        '{"id": "wide", "images": ' + json.dumps(["media/card.png"] * 60) + "}",
        "{",
    ]
    (tmp_path / "records.jsonl").write_text(rows + "\n".join(broken), encoding="utf-8")
    (tmp_path / "media").symlink_to(EXAMPLES / "media")
    out = tmp_path / "out.jsonl"
    given = (tmp_path / "records.jsonl", "--schema", SCHEMA, "--out", out)
    code, table, err = caption(
        capsys, *given, "--media-root", EXAMPLES, "--labels", "@verdict", "--max-new-tokens", 512
    )
    assert code == 1
    found = {line["id"]: line for line in lines(out)}
    assert list(found) == [
        "lamp", "stream-17", "cup", "gone", "outside", "wide", "records.jsonl:7",
    ]  # fmt: skip
    text = schema.read_schema(SCHEMA)
    for name in ("lamp", "stream-17", "cup"):
        line = found[name]
        assert line["error"] is None
        assert schema.value_of(json.dumps(line["reply"]), text) == line["reply"]
        assert set(line["labels"]) == {"allowed", "forbidden", "unclear"}
    for name, problem in {
        "gone": "no such file",
        "outside": "outside the media folder",
        "wide": "fewer or smaller pictures",
        "records.jsonl:7": "not JSON",
    }.items():
        assert problem in found[name]["error"]
        assert f"{name}: " in err
    assert "likeliest: " in table
    assert [line.split()[-1] for line in table.splitlines()[:3]] == ["3", "0", "4"]


def test_labels_are_weighed_as_by_hand(capsys: Any, tmp_path: Path) -> None:
    words = ("a mug", "a table lamp", "a photograph of a cup")
    out = tmp_path / "out.jsonl"
    card = tmp_path / "card.png"
    shutil.copy(EXAMPLES / "media" / "card.png", card)
    asked = (card, "--labels", ",".join(words), "--out", out, "-p", "What is it?")
    code, table, _ = caption(capsys, *asked, "--max-new-tokens", 48, "--device", "cpu")
    assert code == 0
    (line,) = lines(out)
    chat = valley.load("nano", device="cpu")
    request = chat.request(f"What is it?\nAnswer with one of: {', '.join(words)}", card)
    by_hand = {word: sum(in_one_pass(chat, request, word)) for word in words}
    assert line["labels"] == pytest.approx(by_hand, abs=1e-3)
    ranked = sorted(words, key=by_hand.__getitem__)
    assert sorted(words, key=line["labels"].__getitem__) == ranked
    assert f"likeliest: {ranked[-1]}" in table
    assert isinstance(line["reply"], str)


def test_a_server_is_asked_with_the_schema(
    capsys: Any,
    tmp_path: Path,
    server: Server,  # noqa: F811
) -> None:
    verdict = {"verdict": "allowed", "reason": "", "evidence": []}

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        wrong = len(server.asked) == 1
        return 200, completion("no JSON" if wrong else json.dumps(verdict))

    server.answer = answer
    out = tmp_path / "out.jsonl"
    given = (RECORDS, "--media-root", EXAMPLES, "--schema", SCHEMA, "--out", out)
    code, _, err = caption(capsys, *given, "--url", server.url, "--batch-size", 1)
    assert code == 0, err
    assert [line["reply"] for line in lines(out)] == [verdict] * 3
    assert [line["tries"] for line in lines(out)] == [2, 1, 1]
    body = server.asked[0]
    assert body["response_format"]["json_schema"]["schema"]["required"][0] == "verdict"
    retry = next(one for one in server.asked if one.get("seed"))
    assert (retry["temperature"], retry["seed"]) == (0.7, 1)
    kinds = [part["type"] for part in server.asked[-1]["messages"][0]["content"]]
    assert kinds == ["image_url", "image_url", "text", "text"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--schema", "nowhere.json"], "nowhere.json cannot be read"),
        (["--schema", "broken.json"], "broken.json: Expecting"),
        (["--schema", "odd.json"], "odd.json: the schema is not to be used"),
        (["--labels", "@verdict"], "give --schema"),
        (["--labels", "a,,b"], "none may be empty"),
        (["--labels", "a,b", "--url", "http://127.0.0.1:9/v1"], "use --model alone"),
        (["--max-prompt-tokens", "9", "--url", "http://127.0.0.1:9/v1"], "drop it"),
        (["--out", "."], "is a folder"),
        (["--max-num", "3"], "max_tiles"),
        (["-m", "/no/such/place"], "/no/such/place"),
        (["--retries", "-1"], "retries"),
        (["nowhere.png"], "no such file or folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line_and_exit_code_2(
    capsys: Any, tmp_path: Path, monkeypatch: Any, arguments: list[str], words: str
) -> None:
    def loaded(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("valley.caption.command.LocalEngine.from_checkpoint", loaded)
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{", encoding="utf-8")
    Path("odd.json").write_text('{"type": "nothing"}', encoding="utf-8")
    given = [EXAMPLES / "media", *arguments]
    given += [] if "--out" in arguments else ["--out", "out.jsonl"]
    code, out, err = caption(capsys, *given)
    assert (code, out) == (2, ""), err
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("out.jsonl").exists()


def test_the_enum_of_a_field_gives_the_labels() -> None:
    options: dict[str, Any] = {"retries": 2, "max_new_tokens": 64, "seed": 0}
    task = task_of(None, SCHEMA, "@verdict", Budget(), **options)
    assert task.labels == ("allowed", "forbidden", "unclear")
    with pytest.raises(ValueError, match="no field 'reason' with an enum"):
        task_of(None, SCHEMA, "@reason", Budget(), **options)


def test_every_record_of_the_example_can_be_read() -> None:
    products = list(Input([RECORDS], EXAMPLES))
    assert [product.problem for product in products] == [None] * 3
    assert all(product.parts for product in products)


def test_an_input_without_products_is_a_mistake(capsys: Any, tmp_path: Path) -> None:
    code, _, err = caption(capsys, tmp_path, "--out", tmp_path / "out.jsonl")
    assert code == 2
    assert "no pictures, clips or rows" in err
