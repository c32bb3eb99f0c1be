"""Where a model runs and in which dtype, where nobody says."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from valley.model.files import read_json


def default_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_dtype(
    directory: str | os.PathLike[str], device: str, dtype: str | torch.dtype | None
) -> torch.dtype:
    """The dtype to load in. float16 computes at next to no speed on a CPU: a checkpoint's own
    becomes float32 there, a caller's is honoured with a warning."""
    if dtype is not None:
        chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        if chosen not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype {dtype!r} is not one of float32, bfloat16, float16")
        if chosen == torch.float16 and device == "cpu":
            warnings.warn(
                "float16 is very slow on a CPU: bfloat16 or float32 is faster", stacklevel=2
            )
        return chosen
    config = read_json(Path(directory) / "config.json")
    stored = getattr(torch, str(config.get("dtype") or config.get("torch_dtype")), torch.float32)
    return torch.float32 if stored == torch.float16 and device == "cpu" else stored
