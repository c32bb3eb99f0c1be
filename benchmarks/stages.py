"""A tiny Valley2.5 from random weights through every kind of stage, each held to a threshold.

    python benchmarks/stages.py [--seeds 0 1 2] [--small] [--json FILE] [--folder FOLDER]

Published stages begin with a language model that knows words. Here the tiny decoder gets to know
them first from scenes that are written instead of drawn (`words`); its tower stays random until
GRPO, the only stage in which it learns. Then come the published recipes, through `valley train`,
each from the output of the one before, with data, sizes and learning rates of the tiny model:
alignment (captions), instruction (questions), MPO (a right and a wrong answer), cold start (the
form of thinking, few samples) and GRPO on pictures. A table tells what every stage did to held-out
samples; exits with 1 where a threshold is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image as PILImage
from scenes import write_model, write_scenes
from torch import Tensor

from valley.cli import main as valley
from valley.data.formats import read_samples
from valley.engine.local import LocalEngine
from valley.train.examples import Conversation, Examples
from valley.train.grpo import prompt_only, truth_in
from valley.train.preference import both_replies
from valley.train.rewards import Scored, score_all
from valley.train.rows import make_row, sums_by_owner
from valley.train.sft import row_log_probs, whole
from valley.types import Image, Message, Request, Sample, Sampling

RECIPES = Path(__file__).parent.parent / "recipes"
#: Of every stage: nothing is split, recomputed or rounded in a model this small.
TINY = ("precision=float32", "sequence=1024", "checkpointing=false", "shard=false", "report=[]")
CONFIDENT = 1.96


@dataclass(frozen=True)
class Stage:
    """A published recipe, what it learns here, and at which rate; sizes of the full and of the
    small run: steps, samples of a step, and samples there are."""

    name: str
    recipe: str
    data: str
    rate: float
    full: tuple[int, int, int]
    small: tuple[int, int, int]
    changes: tuple[str, ...] = ()


STAGES = (
    Stage("words", "finetune-full", "words", 2e-3, (120, 32, 4000), (120, 32, 4000)),
    Stage("alignment", "valley2_5-1-alignment", "captions", 3e-3, (80, 32, 2560), (80, 32, 2560)),
    Stage(
        "instruction", "valley2_5-2-instruction", "answers", 1e-3, (120, 32, 3840), (120, 32, 3840)
    ),
    Stage("MPO", "valley2_5-mpo", "pairs", 1e-4, (50, 16, 960), (40, 16, 640),("sft=1.0",)),
    Stage("cold start", "valley2_5-cold-start", "thoughts", 1e-3, (120, 16, 240), (120, 16, 240)),
    Stage(
        "GRPO",
        "valley2_5-grpo-multimodal",
        "thoughts",
        2e-4,
        (50, 8, 1600),
        (40, 16, 2000),
        ("group=8", "reply=12", "budget={}", "redraw=2"),
    ),
)


@dataclass(frozen=True)
class Measured:
    """A figure before and after a stage; `passed` says whether it meets the threshold."""

    stage: str
    measure: str
    before: float
    after: float
    threshold: str
    passed: bool


class Held:
    """Held-out samples of one kind, and the same ones with grey pictures."""

    def __init__(self, file: Path) -> None:
        self.samples = list(read_samples(file))
        grey = Image(PILImage.new("RGB", (84, 84), (60, 60, 60)))
        self.grey = [
            Sample((Message.of("user", grey, sample.messages[0].text), *sample.messages[1:]))
            for sample in self.samples
        ]


class Judge:
    """Measures one checkpoint."""

    def __init__(self, checkpoint: Path) -> None:
        self.engine = LocalEngine.from_checkpoint(
            str(checkpoint), device="cpu", dtype="float32", batch_size=64
        )

    @torch.no_grad()
    def log_probs(self, samples: Sequence[Sample], read: object = whole) -> tuple[Tensor, Tensor]:
        """Of each conversation: the log-probability of its replies, and their tokens."""
        examples = Examples(self.engine.processor, read, 1024)  # type: ignore[arg-type]
        sums, numbers = [], []
        for first in range(0, len(samples), 32):
            loaded = [some for sample in samples[first : first + 32] for some in examples.load(sample)]
            row = make_row(loaded)
            sums.append(sums_by_owner(row_log_probs(self.engine.model, row), row))
            numbers.append(sums_by_owner((row.labels != -100).float(), row))
        return torch.cat(sums), torch.cat(numbers)

    def loss(self, samples: Sequence[Sample]) -> float:
        sums, numbers = self.log_probs(samples)
        return float(-sums.sum() / numbers.sum())

    def replies(self, samples: Sequence[Sample]) -> list[str]:
        asked = (Request(turns) for sample in samples for turns in prompt_only_of(sample))
        return [reply.raw for reply in self.engine.run(asked, Sampling(max_new_tokens=24))]

    def exact(self, samples: Sequence[Sample]) -> float:
        answers = [sample.messages[-1].text for sample in samples]
        found = self.replies(samples)
        return sum(a == b for a, b in zip(found, answers, strict=True)) / len(samples)

    def scored(self, samples: Sequence[Sample]) -> list[Scored]:
        replies = self.replies(samples)
        return score_all(
            [
                (domain, text, truth)
                for text, (domain, truth) in zip(replies, map(truth_in, samples), strict=True)
            ]
        )


def prompt_only_of(sample: Sample) -> Sequence[Conversation]:
    return [sample.messages[:1]]


def share(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    pass
