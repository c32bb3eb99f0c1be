"""The next token of one reply, whatever its batch mates do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from valley.engine.constraint import Constraint
from valley.types import Sampling


@dataclass(frozen=True)
class Chosen:
    """A token, its log-probability by the model alone, and the likeliest in its place."""

    token: int
    log_prob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Chooser:
    """Chooses tokens for one reply with transformers' own processors, from a generator of its own.

    `log_probs`: how many alternatives to report, None for not even the token's own. `choice`: which
    of several replies to one prompt; each draws other tokens.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        constraint: Constraint | None = None,
        log_probs: int | None = None,
        choice: int = 0,
    ) -> None:
        self.ids = list(prompt)
        self._log_probs = log_probs
        self._sample = sampling.temperature > 0
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed + choice)
        self._processors = LogitsProcessorList()
        if sampling.repetition_penalty != 1:
            self._processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
        if constraint is not None:
            self._processors.append(constraint)
        if self._sample:
            self._processors.append(TemperatureLogitsWarper(sampling.temperature))
            if sampling.top_k:
                self._processors.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self._processors.append(TopPLogitsWarper(sampling.top_p))

    def choose(self, logits: Tensor) -> Chosen:
        """`[V]` logits on the CPU in float32 -> the next token, which is remembered."""
        scores = logits[None]
        if self._processors:
            ids: Any = torch.tensor([self.ids])
            scores = self._processors(ids, scores.clone())
        if self._sample:
            token = int(scores.softmax(-1).multinomial(1, generator=self._generator))
        else:
            token = int(scores.argmax(-1))
        self.ids.append(token)
        return Chosen(token) if self._log_probs is None else self._reported(token, logits)

    def _reported(self, token: int, logits: Tensor) -> Chosen:
        found = logits.log_softmax(-1)
        top = found.topk(self._log_probs or 0)
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return Chosen(token, float(found[token]), tuple(pairs))
