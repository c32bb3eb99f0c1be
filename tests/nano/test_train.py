"""Training runs, stops, continues bit-equal, and writes a checkpoint that loads and answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from valley.chat import load
from valley.data.synthetic.cards import card_sample
from valley.data.synthetic.clips import clip
from valley.data.synthetic.words import word_strip
from valley.model.checkpoint import inspect
from valley.nano import batches, train
from valley.nano.measure import Item, accuracy, ask_all, grey, markdown


def small_plan(rng: Any) -> list[tuple[str, Any, tuple[int, int], int]]:
    return [
        ("word", word_strip, (1, 4), 2),
        ("clip", lambda rng, grid: clip(rng, grid, 2), (2, 2), 1),
        ("card", card_sample, (4, 3), 1),
    ]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains with the given options in this process."""
    monkeypatch.setattr(batches, "plan_groups", small_plan)
    threads = torch.get_num_threads()

    def start(folder: Path, *options: str) -> Path:
        arguments = ["--out", str(folder / "out"), "--work", str(folder / "work")]
        fixed = ["--processes", "1", "--threads", "1", "--workers", "0", "--log-every", "1"]
        monkeypatch.setattr(sys, "argv", ["train", *arguments, *fixed, *options])
        train.main()
        return folder / "out"

    yield start
    torch.set_num_threads(threads)


def test_a_stopped_run_continues_bit_equal(run: Any, tmp_path: Path) -> None:
    straight = run(tmp_path / "a", "--steps", "4")
    run(tmp_path / "b", "--steps", "4", "--stop", "2")
    continued = run(tmp_path / "b", "--steps", "4")
    first, second = (load_file(out / "model.safetensors") for out in (straight, continued))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    rows = (tmp_path / "b/work/log.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4]
    other = run(tmp_path / "c", "--steps", "4", "--seed", "2")
    third = load_file(other / "model.safetensors")
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_what_training_writes_is_a_checkpoint(run: Any, tmp_path: Path) -> None:
    out = run(tmp_path, "--steps", "2")
    assert inspect(out).complete
    chat = load(out, device="cpu")
    assert chat.engine.model.dtype == torch.float32
    item = Item(word_strip(batches.np.random.default_rng(0), (1, 4)).frames)
    item.dialog = [("words", "What word is written?", "lamp")]
    results = ask_all(chat, [item, grey(item)])
    assert [name for name, _, _ in results] == ["words", "words"]


def test_training_learns(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a few pictures, seen again and again, falls."""
    plan = small_plan(None)
    monkeypatch.setattr(batches, "plan_groups", lambda rng: plan)
    seen = batches.Steps.__getitem__
    monkeypatch.setattr(batches.Steps, "__getitem__", lambda self, step: _first(seen, self, step))
    run(tmp_path, "--steps", "12")
    rows = [json.loads(row) for row in (tmp_path / "work/log.jsonl").read_text().splitlines()]
    assert rows[-1]["word_loss"] < 0.8 * rows[0]["word_loss"]


def _first(draw: Any, steps: Any, step: int) -> Any:
    batch = draw(steps, 0)
    return batches.Batch(step, batch.groups, batch.cpu_seconds)


def test_answers_are_compared_without_case_and_final_stops() -> None:
    results = [("a", "Left", "left."), ("a", "3", "4"), ("b", "$1.50", "$1.50")]
    assert accuracy(results) == {"a": (1, 2), "b": (1, 1)}
    rows = [{"measure": "a", "questions": 2, "accuracy": 0.5, "grey": 0.1, "target": 0.9}]
    assert "| a | 2 | 50.0% | 10.0% | 90% |" in markdown(rows)
