"""Replies that are JSON of a given schema, token by token (llguidance)."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from valley.schema import grammar_of, panics_as_errors


class Vocabulary:
    """A tokenizer as llguidance sees it; takes about a second for a large one."""

    def __init__(self, tokenizer: Any, size: int, stop_ids: list[int]) -> None:
        from llguidance import LLTokenizer

        backend = tokenizer.backend_tokenizer
        self.size = size
        # Through JSON text: padding and truncation are no part of a vocabulary.
        content = json.loads(backend.to_str()) | {"padding": None, "truncation": None}
        self.inner = LLTokenizer(json.dumps(content), n_vocab=size, eos_token=stop_ids)


class Constraint(LogitsProcessor):
    """Forbids every token after which one reply could no longer become JSON of the schema.

    `prompt_length`: ids in front of the reply. A reply that is complete can only end.
    """

    def __init__(self, vocabulary: Vocabulary, schema: str, prompt_length: int) -> None:
        from llguidance import LLMatcher

        with panics_as_errors():
            self._matcher = LLMatcher(vocabulary.inner, grammar_of(schema), log_level=0)
        self._mask = torch.zeros(-(-vocabulary.size // 32), dtype=torch.int32)
        self._seen = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`[1, T]` ids, `[1, V]` scores -> `[1, V]` scores."""
        told = input_ids[0, self._seen :].tolist()
        self._seen += len(told)
        with panics_as_errors():
            if told and not self._matcher.is_stopped():
                self._matcher.consume_tokens(told)
            self._matcher.unsafe_compute_mask_ptr(self._mask.data_ptr(), 4 * len(self._mask))
        if self._matcher.is_error():
            raise ValueError(f"the schema cannot be followed: {self._matcher.get_error()[:200]}")
        return scores.masked_fill(
            ~_bits(self._mask, scores.shape[-1]).to(scores.device), -torch.inf
        )


class RowConstraints(LogitsProcessor):
    """One constraint for each row of a batch."""

    def __init__(self, constraints: list[Constraint]) -> None:
        self._constraints = constraints

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`[B, T]` ids, `[B, V]` scores -> `[B, V]` scores."""
        rows = zip(self._constraints, input_ids.split(1), scores.split(1), strict=True)
        return torch.cat([constraint(ids, row) for constraint, ids, row in rows])


def _bits(mask: Tensor, count: int) -> Tensor:
    """Packed `[ceil(V / 32)]` int32 -> `[V]` bool."""
    bits = (mask[:, None] >> torch.arange(32, dtype=torch.int32)) & 1
    return bits.flatten()[:count].bool()
