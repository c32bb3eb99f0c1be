"""Tensors that stream from a checkpoint get the names and shapes that `valley convert` writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from valley.families import Family, family_of
from valley.families.valley2_5 import VALLEY2_5
from valley.model.convert import convert
from valley.model.files import read_json, weight_files
from valley.vllm_plugin.weights import native_weights

NAMES = ("valley2_5", "valley2", "internvit_8b", "aimv2_8b")


@pytest.fixture(params=NAMES)
def published(
    request: pytest.FixtureRequest,
    tiny_valley2_5: Path,
    tiny_valley2: Path,
    sail: Callable[[str], Path],
) -> Path:
    known = {"valley2_5": tiny_valley2_5, "valley2": tiny_valley2}
    return known[request.param] if request.param in known else sail(request.param)


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return {name: t for file in weight_files(directory) for name, t in load_file(file).items()}


def named(directory: Path, family: Family) -> dict[str, torch.Tensor]:
    pairs = list(native_weights(tensors(directory).items(), family))
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_published_tensors_become_native_and_native_ones_stay(
    published: Path, tmp_path: Path
) -> None:
    family = family_of(read_json(published / "config.json"))
    convert(published, tmp_path / "native", "native")
    wanted = tensors(tmp_path / "native")
    wanted = {k: t for k, t in wanted.items() if not k.startswith(family.layout.stray)}
    for directory in (published, tmp_path / "native"):
        found = named(directory, family)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.equal(found[name], tensor), name


def test_tensors_of_no_use_are_left_out() -> None:
    weights = [(VALLEY2_5.layout.stray[0] + "x", torch.zeros(2)), ("lm_head.weight", torch.ones(2))]
    assert [name for name, _ in native_weights(weights, VALLEY2_5)] == ["lm_head.weight"]
