"""What a training can do so far: figures on samples kept apart, and replies to read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from valley.engine.local import LocalEngine
from valley.processing import ValleyProcessor
from valley.types import Budget, Request, Sample, Sampling

#: Replies that are written down each time, and their tokens at most.
SHOWN, TOKENS = 4, 64
FILE = "replies.jsonl"


class Measures(Protocol):
    def measure(self, model: nn.Module, row: Any) -> Mapping[str, float]:
        """Sums over a row, and `weight`, what they are divided by once added up."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """`rows` to measure, and questions whose replies are appended to `file`, JSON lines."""

    objective: Measures
    rows: Sequence[Any]
    questions: Sequence[Request]
    processor: ValleyProcessor
    file: Path

    @torch.no_grad()
    def run(self, model: nn.Module, step: int, write: bool) -> dict[str, float]:
        """The figures, each `eval_…`; every process has to take part, one writes."""
        model.eval()
        device = next(model.parameters()).device
        sums: dict[str, float] = defaultdict(float)
        for row in self.rows:
            for name, value in self.objective.measure(model, row.to(device)).items():
                sums[name] += value
        weight = max(1e-9, sums.pop("weight", 0.0))
        bare: Any = getattr(model, "module", model)
        replies = LocalEngine(bare, self.processor).run(self.questions, Sampling(TOKENS))
        lines = [
            {"step": step, "question": question.messages[-1].text, "reply": reply.raw}
            for question, reply in zip(self.questions, replies, strict=True)
        ]
        if write:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        return {f"eval_{name}": value / weight for name, value in sums.items()}


def questions_of(samples: Sequence[Sample], budget: Budget) -> list[Request]:
    """What is asked in samples: each up to its last question."""
    asked = []
    for sample in samples:
        turns = sample.messages
        while turns and turns[-1].role == "assistant":
            turns = turns[:-1]
        if turns and turns[-1].role == "user":
            asked.append(Request(turns, budget))
    return asked
