"""Encoded requests as vLLM's engine takes them, past its own chat and picture processing."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BatchFeature
from vllm.inputs import mm_input, tokens_input
from vllm.multimodal.inputs import MultiModalKwargsItems, PlaceholderRange

from valley.encoding import Encoded, pixel_tensors
from valley.engine.features import pictures
from valley.vllm_plugin.pictures import fields


def engine_input(encoded: Encoded, placeholder: int, dtype: torch.dtype) -> Any:
    """`placeholder`: the id that stands for a visual token. Raises ValueError where the prompt
    holds another number of them than its pictures have: inside vLLM it would end the engine."""
    if not encoded.plans:
        return tokens_input(encoded.input_ids)
    pixels = pixel_tensors(encoded.patches, encoded.tiles, encoded.plans)
    pixels = {k: v.to(dtype) if v.is_floating_point() else v for k, v in pixels.items()}
    items = MultiModalKwargsItems.from_hf_inputs(BatchFeature(pixels), fields(pixels))
    hashes = [picture.key.hex() for picture in pictures(encoded)]
    return mm_input(
        encoded.input_ids, items, {"image": hashes}, {"image": _places(encoded, placeholder)}
    )


def _places(encoded: Encoded, placeholder: int) -> list[PlaceholderRange]:
    """Where the tokens of each picture stand."""
    spots = [i for i, number in enumerate(encoded.input_ids) if number == placeholder]
    counts = [plan.num_tokens for plan in encoded.plans]
    if len(spots) != sum(counts):
        raise ValueError(f"the prompt has {len(spots)} placeholders, its pictures {sum(counts)}")
    starts = [spots[sum(counts[:index])] for index in range(len(counts))]
    return [PlaceholderRange(start, count) for start, count in zip(starts, counts, strict=True)]
