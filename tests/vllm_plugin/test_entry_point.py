"""The plugin as vLLM looks for it, without vLLM."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from transformers import AutoModel

from valley.model.registry import MODELS
from valley.vllm_plugin import register

ROOT = Path(__file__).parents[2]


def test_the_entry_point_is_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    group = "vllm.general_plugins"
    (name, value), *others = project["entry-points"][group].items()
    assert not others
    assert EntryPoint(name, value, group).load() is register


def test_a_vllm_that_lacks_what_is_needed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    before = dict(AutoModel._model_mapping._extra_content)
    with pytest.warns(UserWarning, match="does not serve valley's models"):
        register()
    assert before == AutoModel._model_mapping._extra_content


def test_each_model_has_a_bare_model_of_its_own() -> None:
    for config, model in MODELS.items():
        assert model.base_class.config_class is config
