"""Trains by some recipes one after another, as one process or as several that torchrun started:

    python -m torch.distributed.run --nproc-per-node 2 rank_worker.py OUT RECIPE…

For each recipe OUT/NAME.RANK.json gets the losses of its steps, the norms of their gradients, this
rank's pictures, whether the decoder's blocks are sharded, digests of the weights, or the error that
stopped it. `RECIPE@STEP` stops a training before that step, `RECIPE#FAULT` makes the last rank
fail, `RECIPE#told` draws replies that depend on their prompt alone. A recipe saves only if a
checkpoint is due in its steps.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.distributed.tensor import DTensor

import valley.train.run as run
from valley.encoding import Encoded
from valley.train import ranks
from valley.train.loop import StageTrainer
from valley.train.recipe import GRPO, read_recipe
from valley.train.sft import Supervised


class Stopped(Exception):
    pass


class Watched(StageTrainer):
    """Notes what happens, and stops where it is told to."""

    notes: dict[str, Any]
    stop: int | None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        if self.stop == self.state.global_step:
            raise Stopped
        blocks = [p for name, p in model.named_parameters() if ".language_model.layers." in name]
        self.notes["sharded"] = sorted({isinstance(p, DTensor) for p in blocks})
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.notes["losses"].append(loss.item())
        self.notes["pictures"].append(sum(row.pictures for row in inputs.rows))
        self.notes["streams"].append(self.stream_state)
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        self.notes["norms"].append(float(whole(norm)))
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.recipe.every <= self.state.max_steps:
            super()._save_checkpoint(model, trial)

    def save(self) -> None:
        if self.recipe.every <= self.state.max_steps:
            super().save()
            self.notes["weights"] = digests(self.learner.state_dict())


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def digests(state: dict[str, torch.Tensor]) -> dict[str, str]:
    found = {name: whole(tensor).contiguous().numpy().tobytes() for name, tensor in state.items()}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def not_a_number(objective: Supervised, model: Any, row: Any, loss: Any = Supervised.loss) -> Any:
    return loss(objective, model, row) * float("nan")


def told(
    model: Any, make: Any, prompts: Sequence[Encoded], recipe: GRPO, greedy: bool = False
) -> list[list[list[int]]]:
    """In place of drawn replies: of every third prompt all are alike."""
    write = make.encoder.writer.encode
    right, wrong = (f"<think>a</think><answer>{word}</answer>" for word in ("so", "no no"))
    return [
        [
            write(right if n % 2 and len(prompt.input_ids) % 3 else wrong)
            for n in range(recipe.group)
        ]
        for prompt in prompts
    ]


FAULTS = {
    "nan": lambda: patch.object(Supervised, "loss", not_a_number),
    "full": lambda: patch.object(
        StageTrainer, "_save_rng_state", side_effect=OSError(errno.ENOSPC, "No space left")
    ),
}


def train(recipe: str, stop: str | None, fault: str | None) -> dict[str, Any]:
    notes: dict[str, Any] = {"losses": [], "norms": [], "pictures": [], "streams": []}
    Watched.notes, Watched.stop = notes, int(stop) if stop else None
    broken: AbstractContextManager[Any] = nullcontext()
    if fault == "told":
        broken = patch("valley.train.grpo.draw_replies", told)
    elif fault and ranks.rank() == ranks.size() - 1:
        broken = FAULTS[fault]()
    try:
        with broken:
            run.train(read_recipe(Path(recipe)))
    except Stopped:
        pass
    except (ValueError, RuntimeError) as error:
        notes["error"] = f"{type(error).__name__}: {error}"
    return notes


def main(out: Path, recipes: list[str]) -> None:
    torch.set_num_threads(1)
    run.StageTrainer = Watched  # type: ignore[misc]
    with ranks.joined():
        for text in recipes:
            found = re.fullmatch(r"(.*\.yaml)(?:@(\d+))?(?:#(\w+))?", text)
            assert found, text
            notes = train(*found.groups())
            file = out / f"{Path(text).name}.{ranks.rank()}.json"
            file.write_text(json.dumps(notes), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
