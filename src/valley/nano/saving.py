"""Files of a training run: its whole state, and the model as it is shipped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import MAX_PIXELS, MIN_PIXELS
from valley.nano.losses import Trainer


def save_checkpoint(
    path: Path,
    trainer: Trainer,
    optimizers: list[torch.optim.Optimizer],
    mean: AveragedModel | None,
    **state: float,
) -> None:
    """Writes the whole training state; a crash leaves the previous file intact."""
    part = path.with_suffix(".part")
    whole = {
        "trainer": trainer.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
        "mean": mean and mean.state_dict(),
    }
    torch.save(state | whole, part)
    os.replace(part, path)


def load_checkpoint(
    path: Path,
    device: str,
    trainer: Trainer,
    optimizers: list[torch.optim.Optimizer],
    mean: AveragedModel | None,
) -> tuple[int, float, float]:
    """Takes up a training state if there is one; returns its step, wall and processor seconds."""
    if not path.exists():
        return 0, 0.0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    trainer.load_state_dict(state["trainer"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    if mean:
        mean.load_state_dict(state["mean"])
    return state["step"], state["wall"], state["cpu"]


def save_model(folder: Path, model: Valley2_5ForConditionalGeneration) -> None:
    """Writes config.json, weights in bfloat16 (to be loaded in float32), and the limits."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict() | {"dtype": "float32"}
    config["architectures"] = [type(model).__name__]
    config["origins"] = [
        {"part": part, "source": "trained here from scratch", "licence": "Apache-2.0"}
        for part in model.config.family.parts
    ]
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    (folder / "config.json").write_text(text + "\n")
    tensors = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    limits = {
        "processor_class": "ValleyProcessor",
        "single_resize": True,
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(limits, indent=2) + "\n")
    generation = {
        "do_sample": False,
        "max_new_tokens": 64,
        "eos_token_id": model.config.text_config.eos_token_id,
        "pad_token_id": model.config.text_config.pad_token_id,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
