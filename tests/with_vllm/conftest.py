"""Tiny checkpoints that vLLM can run on a CPU: the golden ones with wider heads, at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from valley.model.config import CONFIGS
from valley.model.convert import convert, copy_companions
from valley.model.files import NANO
from valley.model.registry import MODELS
from valley.model.view import native_view

#: vLLM's attention on a CPU takes heads of 32 numbers, the golden checkpoints have eight.
WIDER = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}


def wide(golden: Path, target: Path) -> Path:
    """A native checkpoint of the architecture of a published one."""
    native = native_view(golden, target.with_name(target.name + ".view"))
    record = json.loads((native / "config.json").read_text())
    narrow = record["text_config"]["hidden_size"]
    record["text_config"] |= WIDER
    for part in record.values():  # a tower with a merger of its own makes the decoder's embeddings
        if isinstance(part, dict) and "embed_dim" in part and part["hidden_size"] == narrow:
            part["hidden_size"] = WIDER["hidden_size"]
    kind = CONFIGS[record["model_type"]]
    torch.manual_seed(0)
    model = MODELS[kind](kind.from_dict(record, name_or_path=str(golden)))
    for weight in model.parameters():
        if weight.ndim > 1:  # so that replies differ
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(target)
    copy_companions(golden, target)
    return target


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_valley2_5: Path,
    tiny_valley2: Path,
    sail: Callable[[str], Path],
) -> Callable[[str], Path]:
    """By its name: `nano`, or a line with the layout after a dash."""
    folder = tmp_path_factory.mktemp("wide")
    golden: dict[str, Any] = {
        "valley2_5": lambda: tiny_valley2_5,
        "valley2": lambda: tiny_valley2,
        "sail_vl": lambda: sail("internvit_8b"),
        "sail_vl2": lambda: sail("sail2_2b"),
    }

    def made(name: str) -> Path:
        if name == "nano":
            return NANO
        line = name.partition("-")[0]
        if not (folder / line).exists():
            wide(golden[line](), folder / line)
            convert(folder / line, folder / f"{line}-published", "published")
        return folder / name.removesuffix("-native")

    return made
