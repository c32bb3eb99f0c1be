"""Preference learning: its rows may be laid in any way, and its reference is the model's equal."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from train import crash
from train.test_loop import trainer_state
from valley.train.loop import newest_checkpoint
from valley.train.recipe import Recipe
from valley.train.run import train

Make = Callable[..., Recipe]
FAST = {"optimizer": {"warmup": 0.0, "decay": "constant"}, "steps": 2, "every": 2, "beta": 1.0}


def last_figures(recipe: Recipe) -> dict[str, float]:
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    return [row for row in trainer_state(newest)["log_history"] if "margin" in row][-1]


def test_the_length_of_rows_changes_nothing(recipe_of: Make, tmp_path: Path) -> None:
    """One row, or one for each pair: delta, losses and gradients are the same."""
    runs = []
    for length in (1000, 110):
        output = str(tmp_path / str(length))
        recipe = recipe_of(stage="preference", **FAST, sequence=length, output=output)
        train(recipe)
        runs.append((crash.curve(recipe), last_figures(recipe)))
    (long, one), (short, several) = runs
    assert one["useful"] < several["useful"]
    assert several["delta"] == pytest.approx(one["delta"], rel=1e-4)
    assert abs(one["delta"]) > 1e-3
    for (step, loss, norm), expected in zip(short, long, strict=True):
        assert (step, loss, norm) == (expected[0], *map(near, expected[1:]))


def near(number: float) -> object:
    return pytest.approx(number, rel=1e-4)


@pytest.mark.parametrize("parts", [{}, {"decoder": {"rate": 1e-3, "lora": 4}}], ids=["", "lora"])
def test_in_bfloat16_the_reference_begins_as_the_model_itself(
    recipe_of: Make, parts: dict[str, object]
) -> None:
    changes = {"parts": parts} if parts else {}
    recipe = recipe_of(
        stage="preference", **{**FAST, "steps": 1, "every": 1}, precision="bfloat16", **changes
    )
    train(recipe)
    figures = last_figures(recipe)
    assert figures["dpo"] == pytest.approx(math.log(2), abs=1e-6)
    assert (figures["margin"], figures["accuracy"]) == (0.0, 0.0)
