"""Which parts of a model learn, how fast, and through adapters or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from valley.families import Family
from valley.train.recipe import Part, PartName

#: Of adapters: their weight is `SCALE` whatever the rank.
SCALE = 2


def prepare_parts(
    model: PreTrainedModel, family: Family, parts: Mapping[PartName, Part]
) -> nn.Module:
    """The model with nothing but these parts learning; with adapters a PEFT model.

    Raises ValueError for a combination that could not be saved and loaded again.
    """
    ranks = {name: part.lora for name, part in parts.items() if part.lora}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(family.part_of(name) in parts)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"{family.title} has no weights in {', '.join(parts)}: name other parts")
    return _with_adapters(model, family, parts, ranks) if ranks else model


def _with_adapters(
    model: PreTrainedModel,
    family: Family,
    parts: Mapping[PartName, Part],
    ranks: Mapping[PartName, int],
) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    whole = [name for name in parts if name not in ranks]
    if any(name != "connector" for name in whole) or "embeddings" in ranks:
        raise ValueError(
            "parts: beside adapters only the connector can learn whole, and embeddings have none"
        )
    rank_of = {
        name: ranks[part]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and (part := part_of_parameter(family, f"{name}.weight")) in ranks
    }
    if missing := ranks.keys() - {part_of_parameter(family, f"{name}.weight") for name in rank_of}:
        raise ValueError(f"parts: {', '.join(sorted(missing))} has no linear layer to adapt")
    connectors = {
        prefix.rstrip(".").rsplit(".", 1)[-1] for part in whole for prefix in family.parts[part]
    }
    config = LoraConfig(
        r=max(ranks.values()),
        target_modules=list(rank_of),
        rank_pattern={re.escape(name): rank for name, rank in rank_of.items()},
        alpha_pattern={re.escape(name): SCALE * rank for name, rank in rank_of.items()},
        modules_to_save=sorted(connectors) or None,
    )
    adapted: Any = get_peft_model(model, config)
    return adapted


def part_of_parameter(family: Family, name: str) -> PartName:
    """The part of a parameter of a model or of a PEFT model around it."""
    plain = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
    return family.part_of(plain.replace(".base_layer.", "."))  # type: ignore[return-value]


def parameter_groups(
    model: nn.Module, family: Family, parts: Mapping[PartName, Part], weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer: a part's learning rate; no decay of biases and norms."""
    groups: dict[tuple[PartName, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = part_of_parameter(family, name), parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": members,
            "lr": parts[part].rate,
            "weight_decay": weight_decay if decays else 0.0,
            "part": part,
        }
        for (part, decays), members in groups.items()
    ]


def learning(model: nn.Module, family: Family) -> dict[PartName, int]:
    """The number of weights that learn, for each part."""
    counts: dict[PartName, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = part_of_parameter(family, name)
            counts[part] = counts.get(part, 0) + parameter.numel()
    return counts
