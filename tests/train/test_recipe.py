"""Recipes: keys are fields, mistakes are one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from valley.train.recipe import GRPO, SFT, Part, Preference, Recipe, read_recipe

BASE: dict[str, Any] = {
    "stage": "sft",
    "model": "nano",
    "output": "run",
    "data": [{"path": "a.jsonl"}],
    "parts": {"connector": {"rate": 1e-4}},
    "batch": {"rows": 4},
    "steps": 3,
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Recipe]:
    def from_record(*changes: str, **keys: Any) -> Recipe:
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(BASE | keys), encoding="utf-8")
        return read_recipe(file, changes)

    return from_record


def test_keys_are_fields(read: Callable[..., Recipe]) -> None:
    recipe = read("parts.decoder.rate=1e-5", "budget.max_pixels=1000", "seed=7")
    assert isinstance(recipe, SFT)
    assert recipe.parts == {"connector": Part(1e-4), "decoder": Part(1e-5)}
    assert recipe.budget.max_pixels == 1000
    assert recipe.seed == 7
    assert isinstance(read(stage="preference"), Preference)
    assert isinstance(read(stage="grpo", batch={"samples": 2}), GRPO)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (["foo=1"], "foo: Unexpected"),
        (["parts.tower.rate=1e-4"], r"parts.tower.*towers"),
        (["parts.connector.rate=-1"], "parts.connector.rate: .*greater than 0"),
        (["parts={}"], "name at least one part that learns"),
        (["data=[]"], "name at least one source"),
        (["steps=null"], "give either steps or epochs"),
        (["epochs=1"], "give either steps or epochs"),
        (["budget.pixels=1"], "budget.pixels"),
        (["stage=dpo"], "'sft', 'preference', 'grpo'"),
        (["steps=many"], "steps: .*integer"),
        (["batch.samples=3"], "batch: give either samples or rows"),
        (["optimizer.warmup=2"], "optimizer.warmup: .*less than or equal to 1"),
        (["seed"], "write key=value"),
        (
            ["shard=true", "parts={decoder: {rate: 1, lora: 4}, connector: {rate: 1}}"],
            "beside adapters no part can learn whole",
        ),
        (["stage.name=1"], "stage holds no keys"),
        (["stage=preference", "dpo=0", "bco=0"], "nothing would be learnt"),
        (["stage=grpo"], "the number of prompts"),
        (["stage=grpo", "batch={samples: 2}", "reply=9000"], "no room for a prompt"),
        (["stage=grpo", "batch={samples: 2}", "iterations=3"], "multiple of iterations"),
    ],
)
def test_a_mistake_is_one_line(
    read: Callable[..., Recipe], changes: list[str], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        read(*changes)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_recipe(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    with pytest.raises(ValueError, match="No such file"):
        read_recipe(file)
    file.write_text("stage: [sft\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: not YAML"):
        read_recipe(file)
    file.write_text("- sft\n", encoding="utf-8")
    with pytest.raises(ValueError, match="a mapping of keys"):
        read_recipe(file)
