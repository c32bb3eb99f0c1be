"""Evaluation during a training: figures, replies, curves; the training itself is not touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PILImage
from transformers import AutoModelForImageTextToText

from train import crash
from valley.data.formats import read_samples
from valley.processing import ValleyProcessor
from valley.prompt import IGNORE_INDEX
from valley.train.curves import draw_curves
from valley.train.loop import newest_checkpoint
from valley.train.recipe import Recipe
from valley.train.run import train
from valley.types import Request

GRPO = {"reply": 6, "group": 2, "discard": False}


@pytest.mark.parametrize(
    ("stage", "figures"),
    [
        ({"stage": "sft"}, {"eval_loss"}),
        ({"stage": "preference"}, {"eval_loss", "eval_accuracy"}),
        ({"stage": "grpo", **GRPO}, {"eval_reward", "eval_accuracy", "eval_format"}),
    ],
    ids=["sft", "preference", "grpo"],
)
def test_figures_and_replies_at_every_checkpoint(
    stage: dict[str, object],
    figures: set[str],
    recipe_of: Callable[..., Recipe],
    colours: Path,
) -> None:
    recipe = recipe_of(**stage, steps=2, every=1, evaluate=[{"path": str(colours)}])
    train(recipe)
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    found = [row for row in history if any(name.startswith("eval_") for name in row)]
    assert [row["step"] for row in found] == [1, 2]
    assert all(figures <= row.keys() for row in found)
    assert [row["step"] for row in history if "loss" in row] == [1, 2]
    replies = [json.loads(line) for line in (recipe.output / "replies.jsonl").open()]
    assert [line["step"] for line in replies] == [1] * 4 + [2] * 4
    assert replies[0]["question"] == "What color is it?"
    assert PILImage.open(recipe.output / "curves.png").width == 1200


def test_losses_are_those_of_transformers(recipe_of: Callable[..., Recipe], colours: Path) -> None:
    """A step of all samples and an evaluation of them, where nothing is learnt in between."""
    recipe = recipe_of(
        steps=1,
        every=1,
        batch={"samples": 12},
        parts={"connector": {"rate": 1e-12}},
        evaluate=[{"path": str(colours)}],
    )
    train(recipe)
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    found = [row[name] for row in history for name in ("loss", "eval_loss") if name in row]
    model: Any = AutoModelForImageTextToText.from_pretrained(recipe.output, dtype=torch.float32)
    processor = ValleyProcessor.from_pretrained(recipe.output)
    total, words = 0.0, 0
    for sample in read_samples(colours):
        encoded = processor.encode(Request(sample.messages), generate=False)
        number = sum(label != IGNORE_INDEX for label in encoded.labels)
        with torch.no_grad():
            loss = model(**processor.collate([encoded], labels=True)).loss
        total, words = total + float(loss) * number, words + number
    assert found == [pytest.approx(total / words, rel=1e-4)] * 2


def test_evaluating_changes_no_number_of_the_training(
    recipe_of: Callable[..., Recipe], colours: Path, tmp_path: Path
) -> None:
    curves = []
    for name, extra in (("with", {"evaluate": [{"path": str(colours)}]}), ("without", {})):
        recipe = recipe_of(steps=2, every=1, output=str(tmp_path / name), **extra)
        train(recipe)
        curves.append(crash.curve(recipe))
    assert curves[0] == curves[1]


def test_no_figures_no_picture(tmp_path: Path) -> None:
    draw_curves([{"step": 1, "epoch": 0.1}], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
