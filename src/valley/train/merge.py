"""`valley merge`: adapters into the weights they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

import valley.auto  # noqa: F401  (registers the native classes)
from valley.model.files import locate, read_json
from valley.processing import ValleyProcessor

ADAPTER = "adapter_config.json"


def merge(run: Path, target: Path, base: str | None = None) -> None:
    """Write the model of a run with its adapters merged, in the native layout and in float32, in
    which merging changes logits by rounding only.

    base: the model that the adapters were trained on, by default the one that the run names.
    Raises ValueError where there are no adapters, or the target exists.
    """
    if not (run / ADAPTER).is_file():
        raise ValueError(f"{run} holds no adapters: a run whose parts name lora leaves some")
    if target.exists():
        raise ValueError(f"{target} exists: choose another folder")
    directory = locate(base or str(read_json(run / ADAPTER)["base_model_name_or_path"]))
    model: Any = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32)
    with_adapters(model, run).merge_and_unload().save_pretrained(target)
    ValleyProcessor.from_pretrained(directory).save_pretrained(target)


def with_adapters(model: Any, run: Path) -> Any:
    """The model with the adapters of a run beside its weights."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(run))
