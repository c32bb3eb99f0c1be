"""What is told to vLLM, and what is refused before a server starts."""

from __future__ import annotations

from typing import Any

import pytest

from valley import cli
from valley.model.files import NANO
from valley.serve import settings
from valley.serve.settings import Settings, vllm_options


def test_options_are_json_or_words() -> None:
    pairs = ["max-model-len=8192", "quantization=fp8", 'hf_overrides={"a": 1}', "seed=1=2"]
    assert vllm_options(pairs) == {
        "max_model_len": 8192,
        "quantization": "fp8",
        "hf_overrides": {"a": 1},
        "seed": "1=2",
    }
    with pytest.raises(ValueError, match="NAME=VALUE"):
        vllm_options(["enforce-eager"])


def test_options_reach_the_engine_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: name)
    told = Settings(NANO, engine="vllm", vllm={"max_model_len": 8192}).engine_options()
    assert told["vllm"] == {"max_model_len": 8192}
    assert Settings(NANO).engine_options()["vllm"] == {}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"engine": "vllm"}, "needs vLLM in this environment"),
        ({"engine": "vllm", "device": "cpu"}, "leave out --device"),
        ({"vllm": {"seed": 1}}, "give --engine vllm too"),
        ({"engine": "other"}, "use local, vllm"),
    ],
)
def test_what_does_not_go_together_is_refused(
    monkeypatch: pytest.MonkeyPatch, options: Any, problem: str
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=problem):
        Settings(NANO, **options)


def test_without_vllm_the_command_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(["serve", "--engine", "vllm"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("valley: --engine vllm needs vLLM")
