"""Trains by some recipes one after another, as a process that torchrun may have started:

    python -m torch.distributed.run --nproc-per-node 2 rank_worker.py OUT RECIPE…

For each recipe OUT/NAME.RANK.json gets the losses of its steps, the norms of their gradients, the
kinds of the decoder's parameters and a digest of the weights at the end, or the error that stopped
it; `NAME@STEP` stops a training before that step.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

import valley.train.run as run
from valley.train import ranks
from valley.train.loop import StageTrainer
from valley.train.recipe import read_recipe


class Stopped(Exception):
    pass


class Watched(StageTrainer):
    """Notes what happens, and stops where it is told to."""

    notes: dict[str, Any]
    stop: int | None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        if self.stop == self.state.global_step:
            raise Stopped
        blocks = [p for name, p in model.named_parameters() if ".layers." in name]
        self.notes["sharded"] = sorted({isinstance(p, DTensor) for p in blocks})
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.notes["losses"].append(loss.item())
        self.notes["pictures"].append(sum(row.pictures for row in inputs.rows))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        self.notes["norms"].append(float(norm.full_tensor() if isinstance(norm, DTensor) else norm))
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.notes["logs"].append(logs)
        super().log(logs, start_time)

    def save(self) -> None:
        super().save()
        self.notes["weights"] = digest(self.learner)


def digest(model: Any) -> dict[str, str]:
    """Of each tensor, whole."""
    state = {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in model.state_dict().items()
    }
    return {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]
        for name, tensor in state.items()
    }


def train(name: str) -> dict[str, Any]:
    path, _, stop = name.partition("@")
    notes: dict[str, Any] = {"losses": [], "norms": [], "pictures": [], "logs": []}
    Watched.notes, Watched.stop = notes, int(stop) if stop else None
    run.StageTrainer = Watched  # type: ignore[misc]
    try:
        run.train(read_recipe(Path(path)))
    except Stopped:
        pass
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        notes["error"] = f"{type(error).__name__}: {error}"
    return notes


def main(out: Path, recipes: list[str]) -> None:
    torch.set_num_threads(1)
    with ranks.joined():
        for name in recipes:
            notes = train(name)
            file = out / f"{Path(name).name}.{ranks.rank()}of{ranks.size()}.json"
            file.write_text(json.dumps(notes), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [name for name in sys.argv[2:] if not name.startswith("--")])
