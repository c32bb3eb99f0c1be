"""The command line: output a person or a program wants, errors of one line, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from media import malformed
from model.pictures import picture
from valley.cli import main
from valley.media.limits import Limits
from valley.types import Box


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command, in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.png"
    picture(1, 320, 240).save(path)
    return path


def test_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for verb in ("chat", "caption", "count", "inspect", "verify", "convert", "doctor"):
        assert verb in out


@pytest.mark.parametrize("arguments", [["--help"], ["count", "--size", "640x480"]])
def test_light_commands_import_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from valley.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_chat_as_json(capsys: Any, tiny_valley2_5: Path, card: Path) -> None:
    code, out, _ = run(
        capsys, "chat", card, "-p", "What?", "-m", tiny_valley2_5, "--max-new-tokens", 4, "--json"
    )
    record = json.loads(out)
    assert code == 0
    assert set(record) >= {"text", "thinking", "boxes", "usage", "finish_reason"}
    assert record["usage"]["completion_tokens"] == 4
    assert record["usage"]["visual_tokens"] == 99
    assert record["finish_reason"] == "length"


def test_chat_prints_the_answer_alone(capsys: Any, tiny_valley2_5: Path) -> None:
    code, out, err = run(
        capsys, "chat", "-p", "Hi", "-m", tiny_valley2_5, "--max-new-tokens", 3, "--device", "cpu"
    )
    assert code == 0
    assert out.strip()
    assert err == ""


@pytest.mark.parametrize(("most", "tiles"), [((), 3), (("--max-num", 1), 1)])
def test_chat_limits_the_tiles_of_a_picture(
    capsys: Any, sail: Callable[[str], Path], card: Path, most: tuple[object, ...], tiles: int
) -> None:
    Image.new("RGB", (896, 448)).save(card)
    asked = ["chat", card, "-p", "What?", "-m", sail("internvit_8b"), "--max-new-tokens", 1]
    code, out, err = run(capsys, *asked, "--json", *most)
    assert code == 0, err
    assert json.loads(out)["usage"]["visual_tokens"] == tiles * 256


def test_count_as_json_and_as_a_table(capsys: Any, tiny_valley2_5: Path, card: Path) -> None:
    common = ("count", card, "--size", "3x2000", "-m", tiny_valley2_5)
    code, out, _ = run(capsys, *common, "--json")
    record = json.loads(out)
    assert code == 0
    assert record["visual_tokens"] == sum(item["tokens"] for item in record["media"]) == 99 + 71
    assert record["media"][0] == {
        "source": str(card),
        "size": [320, 240],
        "frames": 1,
        "grid": [22, 18],
        "tiles": 1,
        "tokens": 99,
        "sees": [308, 252],
    }
    code, out, _ = run(capsys, *common)
    assert code == 0
    assert "308x252" in out
    assert "170" in out


def test_count_needs_no_weights(capsys: Any, tiny_valley2_5: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_valley2_5 / "config.json").read_bytes())
    code, out, _ = run(capsys, "count", "--size", "640x480", "-m", tmp_path, "--json")
    assert (code, json.loads(out)["visual_tokens"]) == (0, 391)


@pytest.mark.parametrize(
    ("preset", "tokens"), [(28 * 28 * 256, 252), (28 * 28 * 1280, 1196), (28 * 28 * 16384, 1196)]
)
def test_count_follows_max_pixels(capsys: Any, preset: int, tokens: int) -> None:
    code, out, _ = run(
        capsys,
        "count",
        "--size",
        "1280x720",
        "--max-pixels",
        preset,
        "--min-pixels",
        3136,
        "--json",
    )
    assert (code, json.loads(out)["visual_tokens"]) == (0, tokens)


def test_inspect_reports_a_complete_checkpoint(capsys: Any, tiny_valley2_5: Path) -> None:
    code, out, _ = run(capsys, "inspect", tiny_valley2_5, "--json")
    record = json.loads(out)
    assert code == 0
    assert (record["matched"], record["missing"], record["unexpected"]) == (56, [], [])
    assert record["parameters"]["total"] == 7893472
    assert record["memory"]["bfloat16"] == 2 * 7893472
    code, out, _ = run(capsys, "inspect", tiny_valley2_5)
    assert "0 missing, 0 unexpected" in out
    assert "Apache-2.0" in out


def test_inspect_fails_on_a_missing_tensor(
    capsys: Any, tiny_valley2_5: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for file in ("config.json", "added_tokens.json"):
        (tmp_path / file).write_bytes((tiny_valley2_5 / file).read_bytes())
    tensors = load_file(tiny_valley2_5 / "model.safetensors")
    tensors["model.mm_projector.stray"] = tensors.pop("model.norm.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    code, out, _ = run(capsys, "inspect", tmp_path, "--json")
    record = json.loads(out)
    assert code == 1
    assert record["missing"] == ["model.language_model.norm.weight"]
    assert record["ignored"] == ["model.mm_projector.stray"]
    assert record["unexpected"] == []


def test_convert_there_and_back_is_bit_equal(
    capsys: Any, tiny_valley2_5: Path, tmp_path: Path
) -> None:
    from valley.model.convert import digests

    native, back = tmp_path / "native", tmp_path / "back"
    assert run(capsys, "convert", tiny_valley2_5, native)[0] == 0
    assert run(capsys, "convert", native, back, "--layout", "published")[0] == 0
    assert digests(back) == digests(tiny_valley2_5)
    before, after = (json.loads((d / "config.json").read_text()) for d in (tiny_valley2_5, back))
    before.pop("auto_map")
    assert after == before
    assert json.loads((native / "config.json").read_text())["model_type"] == "valley2_5"
    assert not list(native.glob("*.py"))
    question = ("chat", "-p", "Hi", "--max-new-tokens", 6, "--json", "-m")
    replies = {run(capsys, *question, directory)[1] for directory in (native, back, tiny_valley2_5)}
    assert len(replies) == 1


def test_convert_never_overwrites(capsys: Any, tiny_valley2_5: Path) -> None:
    code, _, err = run(capsys, "convert", tiny_valley2_5, tiny_valley2_5)
    assert code == 2
    assert "not empty" in err


def test_verify_writes_a_report(capsys: Any, tiny_valley2_5: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    code, out, _ = run(capsys, "verify", tiny_valley2_5, "--report", report, "--device", "cpu")
    assert code == 0
    assert report.read_text(encoding="utf-8").strip() == out.strip()
    for words in ("tensors | pass", "prompt | pass", "repeatable | pass", "tokens/s"):
        assert words in out
    assert str(tiny_valley2_5) not in out


def test_doctor_finds_nothing_broken(capsys: Any) -> None:
    code, out, _ = run(capsys, "doctor", "--json")
    states = {check["name"]: check["state"] for check in json.loads(out)}
    assert code == 0
    assert states["torch"] == states["nano"] == "ok"


def test_doctor_names_a_broken_torchvision(monkeypatch: Any, tmp_path: Path) -> None:
    from valley import doctor

    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms')")
    monkeypatch.syspath_prepend(tmp_path)
    check = next(check for check in doctor.checks() if check.name == "torchvision")
    assert check.state == "broken"
    assert "nms" in check.detail


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "-p", "Hi", "-m", "/no/such/place"], "/no/such/place"),
        (["chat", "-p", "Hi", "-m", "no-such-word"], "nano"),
        (["chat", "-p", "Hi", "--system", "@none"], "@gthinker"),
        (["chat", "-p", "Hi", "--style", "modern"], "modern"),
        (["chat", "-p", "Hi", "--dtype", "int3"], "bfloat16"),
        (["chat", "-p", "Hi", "--frames", "0"], "max_frames"),
        (["chat", "-p", "Hi", "--max-new-tokens", "0"], "max-new-tokens"),
        (["chat", "--json"], "-p"),
        (["chat"], "-p"),
        (["count"], "--size"),
        (["count", "--size", "large"], "640x480"),
        (["count", "--size", "0x5"], "empty"),
        (["count", "--size", "9x9", "--max-num", "3"], "max_tiles"),
        (["chat", "-p", "Hi", "--max-num", "3"], "max_tiles"),
        (["verify", "nano", "--max-num", "3"], "max_tiles"),
        (["inspect"], "checkpoint"),
        (["paint"], "paint"),
        (["chat", "--colour"], "--colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line_and_exit_code_2(
    capsys: Any, monkeypatch: Any, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_a_checkpoint_of_no_family_is_named(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlavaForConditionalGeneration"]}')
    code, _, err = run(capsys, "chat", "-p", "Hi", "-m", tmp_path)
    assert code == 2
    assert "LlavaForConditionalGeneration" in err
    assert "ValleyQwen3ForCausalLM" in err


def test_a_model_that_cannot_fit_is_refused_with_the_table(
    capsys: Any, monkeypatch: Any, tiny_valley2_5: Path
) -> None:
    monkeypatch.setattr("valley.model.memory.available_memory", lambda: 2**20)
    code, _, err = run(capsys, "chat", "-p", "Hi", "-m", tiny_valley2_5, "--device", "cpu")
    assert code == 2
    assert "bfloat16" in err
    assert "int4" in err


def test_a_failure_while_running_is_exit_code_1(
    capsys: Any, monkeypatch: Any, tiny_valley2_5: Path
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("the device went away")

    monkeypatch.setattr("valley.chat.LocalEngine.from_checkpoint", broken)
    code, _, err = run(capsys, "chat", "-p", "Hi", "-m", tiny_valley2_5)
    assert code == 1
    assert len(err.strip().splitlines()) == 2
    with pytest.raises(RuntimeError, match="went away"):
        main(["chat", "-p", "Hi", "-m", str(tiny_valley2_5), "--debug"])


def test_an_interruption_is_exit_code_130(capsys: Any, monkeypatch: Any) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("valley.model.files.locate", interrupted)
    assert run(capsys, "chat", "-p", "Hi")[0] == 130


def test_malformed_media_are_refused_before_any_model_loads(
    capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    """Each of at least forty bad inputs: a clear line, exit code 2, no traceback, no model."""

    def loaded(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("valley.chat.load", loaded)
    cases = [
        case
        for case in malformed.cases(tmp_path)
        if not case.python_only and case.limits in (Limits(), malformed.URLS)
    ]
    for case in cases:
        urls = ["--allow-urls"] if case.limits.allow_urls else []
        code, out, err = run(capsys, "chat", "-p", "What?", *urls, "--", case.source)
        assert (code, out) == (2, ""), (case.name, code, out, err)
        assert len(err.strip().splitlines()) == 1, (case.name, err)
        assert "Traceback" not in err
        code, _, err = run(capsys, "count", *urls, "--", case.source)
        assert code in (0, 2), (case.name, err)  # a header may be fine where the pixels are not
        assert "Traceback" not in err
    assert len(cases) >= 40


def test_boxes_are_drawn(
    capsys: Any, tiny_valley2: Path, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(10, 10, 200, 100)
    monkeypatch.setattr("valley.engine.local.boxes_in", lambda text, size: (box,))
    out = tmp_path / "out.png"
    asked = ["chat", card, "-p", "Where?", "-m", tiny_valley2, "--max-new-tokens", 2]
    code, _, err = run(capsys, *asked, "--draw", out)
    assert code == 0, err
    assert "1 boxes drawn" in err
    with Image.open(out) as drawn:
        assert drawn.size == (320, 240)
        assert drawn.getpixel((100, 10)) == (214, 39, 40)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-p", "Where?", "--draw", "out.xyz"], "picture file"),
        (["-p", "Where?", "--draw", "nowhere/out.png"], "folder"),
    ],
)
def test_where_boxes_cannot_be_drawn(
    capsys: Any, card: Path, arguments: list[str], named: str
) -> None:
    code, _, err = run(capsys, "chat", card, *arguments)
    assert code == 2
    assert named in err
    code, _, err = run(capsys, "chat", "-p", "Where?", "--draw", "out.png")
    assert code == 2
    assert "one picture" in err


def test_counting_for_two_towers(capsys: Any, tiny_valley2: Path) -> None:
    asked = ["count", "-m", tiny_valley2, "--size", "4000x3000", "--json"]
    code, out, _ = run(capsys, *asked, "--style", "published")
    assert code == 0
    record = json.loads(out)
    assert record["visual_tokens"] == 16_841
    assert (record["media"][0]["grid"], record["media"][0]["tiles"]) == ([3, 3], 10)
    _, out, _ = run(capsys, *asked, *["--size", "1920x1080"] * 7, "--style", "published")
    frames = json.loads(out)["media"][1:]
    assert {item["tokens"] for item in frames} == {196 + 2691}
    assert 8 * (196 + 2691) == 23_096
    _, out, _ = run(capsys, *asked)
    assert json.loads(out)["visual_tokens"] == 196 + 42 * 32 + 713
    _, out, _ = run(capsys, *asked[:-1])
    assert "571,536 pixels a picture and 153,664 a frame" in out
    assert "--style published takes 16,841 tokens" in out
    _, out, _ = run(capsys, *asked[:-1], "--style", "published")
    assert "Limited" not in out


def test_training_names_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "stage: sft\nmodel: nano\noutput: run\ndata: [{path: a.jsonl}]\n"
        "parts: {connector: {rate: 1e-4}}\nbatch: {samples: 2}\nsteps: 1\n"
    )
    monkeypatch.setattr("valley.cli.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        main(["train", str(recipe)])
    assert stop.value.code == 2
    assert "training needs peft: pip install 'valley-vlm[train]'" in capsys.readouterr().err
