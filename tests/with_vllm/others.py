"""Other people's models are found by vLLM as if we were not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from valley.model.config import CONFIGS
from valley.model.registry import MODELS
from valley.vllm_plugin import MODE

OURS = {model.__name__ for model in MODELS.values()}
#: Says what vLLM finds for a genuine InternVL, and all that it knows by name.
PROGRAM = """
import json, sys
from transformers import CONFIG_MAPPING, AutoModel
from vllm.plugins import load_general_plugins
load_general_plugins()
from vllm import ModelRegistry
from vllm.model_executor.models.config import MODELS_CONFIG_MAP
from vllm.renderers.registry import RENDERER_REGISTRY
from vllm.tokenizers.registry import TokenizerRegistry, resolve_tokenizer_args
from vllm.transformers_utils.config import get_config

def names(mapping):
    return {key.__name__: str(value) for key, value in mapping._extra_content.items()}

config = get_config(sys.argv[1], trust_remote_code=True)
print(json.dumps({
    "config": [type(config).__name__, type(config).__module__.split(".")[0], config.llm],
    "tokenizer mode": resolve_tokenizer_args(sys.argv[1])[0],
    "architectures": {name: str(model) for name, model in ModelRegistry.models.items()},
    "hooks": sorted(MODELS_CONFIG_MAP),
    "renderers": RENDERER_REGISTRY.renderers,
    "tokenizers": TokenizerRegistry.tokenizers,
    "model types": sorted(CONFIG_MAPPING._extra_content),
    "models": names(AutoModel._model_mapping),
}))
"""
CONFIGURATION = """
from transformers import PreTrainedConfig

class InternVLChatConfig(PreTrainedConfig):
    model_type = "internvl_chat"
    llm: str = ""
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Without us and with us."""
    genuine = tmp_path_factory.mktemp("genuine")
    record = {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
        "llm": "qwen2",
    }
    (genuine / "config.json").write_text(json.dumps(record))
    (genuine / "configuration_internvl_chat.py").write_text(CONFIGURATION)
    return {plugins: _told(genuine, plugins) for plugins in ("", "valley")}


def _told(genuine: Path, plugins: str) -> dict[str, Any]:
    environment = {**os.environ, "VLLM_PLUGINS": plugins}
    command = [sys.executable, "-c", PROGRAM, str(genuine)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_genuine_internvl_is_found_as_without_us(found: dict[str, dict[str, Any]]) -> None:
    without, with_us = found[""], found["valley"]
    assert without["config"] == ["InternVLChatConfig", "transformers_modules", "qwen2"]
    for name in ("config", "tokenizer mode"):
        assert with_us[name] == without[name]
    architecture = "InternVLChatModel"
    assert with_us["architectures"][architecture] == without["architectures"][architecture]


def test_nothing_but_our_own_names_is_added(found: dict[str, dict[str, Any]]) -> None:
    without, with_us = found[""], found["valley"]
    added = {name: set(with_us[name]) - set(without[name]) for name in without if name != "config"}
    assert added["architectures"] == added["hooks"] == OURS
    assert added["renderers"] == added["tokenizers"] == {MODE}
    assert added["model types"] == set(CONFIGS)
    assert added["models"] == {config.__name__ for config in MODELS}
    for name in ("architectures", "renderers", "tokenizers", "models"):
        for key, value in without[name].items():
            assert with_us[name][key] == value
