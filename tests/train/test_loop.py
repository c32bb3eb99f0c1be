"""The loop: what learns and what does not, and what happens when something goes wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from train import crash
from valley.train import loop, sft
from valley.train.loop import TrainingFailed, checkpoints, newest_checkpoint
from valley.train.recipe import Recipe
from valley.train.run import train

Make = Callable[..., Recipe]
#: Random moments at which a training is killed; `make proof-crash` has more.
KILLS = os.environ.get("CRASH_KILLS", "2")


def test_the_loss_falls_and_the_model_reloads_bit_equal(recipe_of: Make) -> None:
    recipe = recipe_of(steps=12, every=6, parts={"decoder": {"rate": 1e-2}})
    train(recipe)
    losses = [loss for _, loss, _ in crash.curve(recipe)]
    assert losses[-1] < losses[0] - 1
    stored = load_file(recipe.output / "model.safetensors")
    model: Any = AutoModelForImageTextToText.from_pretrained(recipe.output, dtype=torch.float32)
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in stored.items())
    assert not list(recipe.output.rglob("*.bin"))  # no pickles


def test_the_newest_checkpoints_are_kept(recipe_of: Make) -> None:
    recipe = recipe_of(steps=6, every=2, keep=2)
    train(recipe)
    assert [path.name for path in checkpoints(recipe.output)] == ["checkpoint-4", "checkpoint-6"]
    assert not (recipe.output / loop.UNFINISHED).exists()


@pytest.mark.timeout(3000)
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_happened(
    recipe_of: Make, tmp_path: Path
) -> None:
    recipe_of(steps=8, every=2, batch={"rows": 2, "buffer": 6})
    done = subprocess.run(
        [sys.executable, crash.__file__, str(tmp_path / "recipe.yaml"), "--kills", KILLS],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal: 4 logged losses" in done.stdout


def test_reading_ahead_changes_no_number(recipe_of: Make, tmp_path: Path) -> None:
    curves = []
    for ahead in (0, 2):
        recipe = recipe_of(steps=4, every=2, ahead=ahead, output=str(tmp_path / str(ahead)))
        train(recipe)
        curves.append(crash.curve(recipe))
    assert curves[0] == curves[1]


def test_broken_lines_are_counted_and_the_rest_is_learnt(recipe_of: Make, colours: Path) -> None:
    lines = colours.read_text(encoding="utf-8").splitlines()
    colours.write_text("\n".join(["{", *lines, "[]", '{"messages": 3}']), encoding="utf-8")
    recipe = recipe_of(steps=None, epochs=1, every=1, batch={"rows": 2, "buffer": 64})
    train(recipe)
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    last = [row for row in trainer_state(newest)["log_history"] if "skipped" in row][-1]
    assert last["skipped"] == 3


def test_data_of_which_nothing_can_be_used_end_the_training(recipe_of: Make) -> None:
    with pytest.raises(ValueError, match=r"no sample can be used: 1\d skipped"):
        train(recipe_of(sequence=5))


def test_a_loss_that_is_no_number_stops_the_training(
    recipe_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(steps=4, every=2)
    seen: list[int] = []

    def broken(self: Any, model: Any, row: Any) -> Any:
        seen.append(1)
        factor = float("nan") if len(seen) > 3 else 1.0
        return -(sft.row_log_probs(model, row) * row.weights).sum() * factor

    monkeypatch.setattr(sft.Supervised, "loss", broken)
    with pytest.raises(TrainingFailed, match=r"nan at step .*: lower the learning rates"):
        train(recipe)


def test_a_full_disk_loses_nothing(recipe_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(steps=4, every=2)
    save = torch.save

    def full(thing: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-4" in str(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(thing, file, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(TrainingFailed, match=r"checkpoint-4 .*: the disk is full; make room"):
            train(recipe)
    assert [path.name for path in checkpoints(recipe.output)] == ["checkpoint-2"]
    assert not (recipe.output / loop.UNFINISHED).exists()
    train(recipe)
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    assert newest.name == "checkpoint-4"


def test_another_recipe_does_not_go_on_with_this_training(recipe_of: Make) -> None:
    train(recipe_of(steps=2))
    train(recipe_of(steps=4))  # longer is the same training
    with pytest.raises(ValueError, match=r"another recipe \(seed\): choose another output"):
        train(recipe_of(steps=4, seed=7))


def test_preference_raises_the_chosen_above_the_rejected(recipe_of: Make) -> None:
    recipe = recipe_of(stage="preference", steps=10, every=5, beta=1.0, sft=0.1)
    train(recipe)
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    history = [row for row in trainer_state(newest)["log_history"] if "margin" in row]
    assert history[-1]["margin"] > history[0]["margin"] > 0
    assert history[-1]["accuracy"] == 1.0
    assert history[-1]["delta"] != history[0]["delta"]


def test_reinforcement_draws_rewards_and_learns(recipe_of: Make) -> None:
    recipe = recipe_of(
        stage="grpo", steps=4, every=2, reply=6, group=3, discard=False, kl=0.1, iterations=2
    )
    train(recipe)
    newest = newest_checkpoint(recipe.output)
    assert newest is not None
    last = [row for row in trainer_state(newest)["log_history"] if "loss" in row][-1]
    assert {"reward", "accuracy", "format", "reply_tokens", "discarded"} <= last.keys()
    assert 1 <= last["reply_tokens"] <= 6


def trainer_state(checkpoint: Path) -> Any:
    import json

    return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
