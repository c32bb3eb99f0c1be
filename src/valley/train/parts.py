"""Which parts of a model learn, how fast, and through adapters or not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from valley.families import Family
from valley.train.recipe import Part, PartName

#: Of adapters: their weight is `SCALE` whatever the rank.
SCALE = 2


def prepare_parts(
    model: PreTrainedModel, family: Family, parts: Mapping[PartName, Part], tokenizer: Any
) -> nn.Module:
    """The model with nothing but these parts learning; with adapters a PEFT model.

    Raises ValueError for a combination that could not be saved and loaded again, a part that the
    model has not, and a token that the tokenizer has not.
    """
    ranks = {name: part.lora for name, part in parts.items() if part.lora}
    found = set()
    for name, parameter in model.named_parameters():
        found.add(part := part_of_parameter(family, name))
        parameter.requires_grad_(part in parts)
    if missing := parts.keys() - found:
        raise ValueError(f"parts: {family.title} has no {', '.join(sorted(missing))}")
    if ranks:
        return _with_adapters(model, family, parts, ranks)
    if "embeddings" in parts and (tokens := parts["embeddings"].tokens):
        _only_tokens(model, tokens, tokenizer)
    return model


def _only_tokens(model: PreTrainedModel, tokens: Sequence[str], tokenizer: Any) -> None:
    """Let nothing of the embeddings learn but the input vectors of these tokens."""
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in tokens if token not in vocabulary]:
        raise ValueError(f"parts: the tokenizer has no token {unknown[0]!r}")
    vectors: Any = model.get_input_embeddings().weight
    output: Any = model.get_output_embeddings()
    if output is not None and output.weight is not vectors:
        output.weight.requires_grad_(False)
    learnt = torch.zeros(len(vectors), 1, dtype=torch.bool, device=vectors.device)
    learnt[[vocabulary[token] for token in tokens]] = True
    vectors.register_hook(lambda gradient: gradient * learnt.to(gradient.device))


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
    with warnings.catch_warnings():
        # PEFT asks transformers for an attribute by its old name.
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = get_peft_model(model, config)
    return adapted


def part_of_parameter(family: Family, name: str) -> PartName:
    """The part of a parameter of a model or of a PEFT model around it."""
    plain = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
    part = family.part_of(plain.replace(".base_layer.", "."))
    return "towers" if part == "tower" else part  # type: ignore[return-value]


def parameter_groups(
    model: nn.Module, family: Family, parts: Mapping[PartName, Part], weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer: a part's learning rate; no decay of biases and norms, nor of vectors
    among which only some learn."""
    groups: dict[tuple[PartName, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = part_of_parameter(family, name)
            decays = parameter.ndim > 1 and not parts[part].tokens
            groups.setdefault((part, decays), []).append(parameter)
    return [
        {
            "params": members,
            "lr": parts[part].rate,
            "weight_decay": weight_decay if decays else 0.0,
            "part": part,
        }
        for (part, decays), members in groups.items()
    ]


def learning(
    model: nn.Module, family: Family, parts: Mapping[PartName, Part]
) -> dict[PartName, int]:
    """The number of weights that learn, for each part."""
    counts: dict[PartName, int] = dict.fromkeys(parts, 0)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = part_of_parameter(family, name)
            rows = len(parts[part].tokens) or len(parameter)
            counts[part] += parameter.numel() // len(parameter) * rows
    return counts
