"""A tiny Valley2.5 from random weights through every kind of stage, each held to a threshold.

    python benchmarks/stages.py [--seeds 0 1 2] [--held 500] [--until GRPO]

Published stages begin with a language model that knows words. Here the tiny decoder gets to know
them first, from scenes that are written instead of drawn (`words`); its tower is random, and learns
in GRPO alone. Then come the published recipes, through `valley train`, each from the output of the
one before, with data, steps and learning rates of the tiny model: alignment (captions), instruction
(questions), MPO (a right and a wrong answer; here with its SFT term), cold start (the form of
thinking; half of its answers about colours are wrong) and GRPO on pictures, which has to find out.
The table says what every stage did to held-out samples; exits with 1 where a threshold is missed.
Two seeds at a time, each on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path

import torch
import yaml
from PIL import Image as PILImage
from scenes import write_model, write_scenes
from torch import Tensor

from valley.data.formats import read_samples
from valley.engine.local import LocalEngine
from valley.train.examples import Conversation, Examples
from valley.train.grpo import truth_in
from valley.train.preference import both_replies
from valley.train.recipe import read_recipe
from valley.train.rewards import Scored, score_all
from valley.train.rows import make_row, sums_by_owner
from valley.train.run import train
from valley.train.sft import row_log_probs, whole
from valley.types import Image, Message, Request, Sample, Sampling

RECIPES = Path(__file__).parent.parent / "recipes"
#: Of every stage: nothing is split, recomputed or rounded in a model this small.
TINY = (
    "precision=float32",
    "sequence=1024",
    "checkpointing=false",
    "shard=false",
    "epochs=null",
    "replay=0",
    "ahead=0",
    "report=[]",
)


@dataclass(frozen=True)
class Stage:
    """A published recipe, the data that it learns from here, and what is changed in it.

    rate: of the parts that learn, ten times that of towers. batch: samples of a step. number:
    samples there are.
    """

    name: str
    recipe: str
    data: str
    rate: float
    steps: int
    batch: int
    number: int
    changes: tuple[str, ...] = ()


#: Short replies; with so few steps and such rates, a gentle beginning and end.
REINFORCED = ("reply=12", "budget={}", "redraw=1", "optimizer.warmup=0.1", "optimizer.decay=cosine")
STAGES = (
    Stage("words", "finetune-full", "words", 2e-3, 80, 32, 2560),
    Stage("alignment", "valley2_5-1-alignment", "captions", 3e-3, 80, 32, 2560),
    Stage("instruction", "valley2_5-2-instruction", "answers", 1e-3, 150, 32, 4800),
    Stage("MPO", "valley2_5-mpo", "pairs", 1e-4, 60, 16, 960, ("sft=1.0",)),
    Stage("cold start", "valley2_5-cold-start", "first-thoughts", 2e-3, 80, 16, 240),
    Stage("GRPO", "valley2_5-grpo-multimodal", "thoughts", 6e-4, 40, 48, 3840, REINFORCED),
)


@dataclass(frozen=True)
class Measured:
    """A figure before and after a stage; wanted: the threshold in words, met or not."""

    measure: str
    before: float
    after: float
    wanted: str
    met: bool


class Judge:
    """Measures a checkpoint on held-out samples of each kind."""

    def __init__(self, checkpoint: Path, held: dict[str, list[Sample]]) -> None:
        self.engine = LocalEngine.from_checkpoint(
            checkpoint, device="cpu", dtype="float32", batch_size=64
        )
        self.held = held

    def caption_loss(self) -> float:
        """For each token of the captions."""
        sums, numbers = self._log_probs(self.held["captions"], whole)
        return float(-sums.sum() / numbers.sum())

    def pairs(self) -> Tensor:
        """`[N, 2]`: log-probabilities of the right and of the wrong answer."""
        return self._log_probs(self.held["pairs"], both_replies)[0].view(-1, 2)

    def right(self, grey: bool = False) -> float:
        """Share of the questions that are answered exactly, maybe about a grey picture."""
        samples = self.held["answers"]
        answers = [sample.messages[-1].text for sample in samples]
        found = self._replies([blank(sample) if grey else sample for sample in samples])
        return sum(a == b for a, b in zip(found, answers, strict=True)) / len(samples)

    @cached_property
    def thoughts(self) -> list[Scored]:
        """Form and accuracy of greedy replies that think first."""
        samples = self.held["thoughts"]
        pairs = zip(self._replies(samples), map(truth_in, samples), strict=True)
        return score_all([(domain, text, truth) for text, (domain, truth) in pairs])

    def _replies(self, samples: Sequence[Sample]) -> list[str]:
        asked = (Request(sample.messages[:1]) for sample in samples)
        return [reply.raw for reply in self.engine.run(asked, Sampling(max_new_tokens=16))]

    @torch.no_grad()
    def _log_probs(
        self, samples: Sequence[Sample], read: Callable[[Sample], Sequence[Conversation]]
    ) -> tuple[Tensor, Tensor]:
        """Of each conversation, the log-probability of what is learnt and its tokens."""
        examples = Examples(self.engine.processor, read, 1024)
        sums, numbers = [], []
        for first in range(0, len(samples), 32):
            row = make_row([e for s in samples[first : first + 32] for e in examples.load(s)])
            sums.append(sums_by_owner(row_log_probs(self.engine.model, row), row))
            numbers.append(sums_by_owner((row.labels != -100).float(), row))
        return torch.cat(sums), torch.cat(numbers)


def blank(sample: Sample) -> Sample:
    """The same question about a grey picture."""
    grey = Image(PILImage.new("RGB", (84, 84), (60, 60, 60)))
    return Sample((Message.of("user", grey, sample.messages[0].text), *sample.messages[1:]))


def alignment(before: Judge, after: Judge) -> list[Measured]:
    first, last = before.caption_loss(), after.caption_loss()
    return [Measured("loss of captions", first, last, "30 % lower", last <= 0.7 * first)]


def instruction(before: Judge, after: Judge) -> list[Measured]:
    first, last, grey = before.right(), after.right(), after.right(grey=True)
    return [
        Measured("exactly right", first, last, "+0.30", last >= first + 0.3),
        Measured("the same, from pictures to grey", last, grey, "-0.30", grey <= last - 0.3),
    ]


def preference(before: Judge, after: Judge) -> list[Measured]:
    first, last = before.pairs(), after.pairs()
    gained = last - first
    share = float((gained[:, 0] > gained[:, 1]).float().mean())
    chosen = [float(pairs[:, 0].mean()) for pairs in (first, last)]
    return [
        Measured("pairs whose right answer gained more", 0.0, share, "0.75", share >= 0.75),
        Measured("log-probability of right", *chosen, "not lower", chosen[1] >= chosen[0]),
    ]


def cold_start(before: Judge, after: Judge) -> list[Measured]:
    first, last = (mean([s.format for s in judge.thoughts]) for judge in (before, after))
    return [Measured("form of thinking", first, last, "0.95", last >= 0.95)]


def reinforcement(before: Judge, after: Judge) -> list[Measured]:
    first, last = ([s.accuracy for s in judge.thoughts] for judge in (before, after))
    gains = torch.tensor(last) - torch.tensor(first)
    error = 1.96 * float(gains.std()) / len(gains) ** 0.5
    gain = float(gains.mean())
    wanted = f"+0.05, 95 % above 0 (here {gain:+.3f} ± {error:.3f})"
    met = gain >= 0.05 and gain > error
    return [Measured("right after thinking", mean(first), mean(last), wanted, met)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


CHECKS: dict[str, Callable[[Judge, Judge], list[Measured]]] = {
    "alignment": alignment,
    "instruction": instruction,
    "MPO": preference,
    "cold start": cold_start,
    "GRPO": reinforcement,
}


def learn(stage: Stage, model: Path, folder: Path, seed: int) -> Path:
    """Train a stage from `model` as `valley train RECIPE --set …` does; its output."""
    recipe = RECIPES / f"{stage.recipe}.yaml"
    data = write_scenes(folder / "data", stage.data, stage.number, 100 * seed + STAGES.index(stage))
    output = folder / stage.name.replace(" ", "-")
    parts = yaml.safe_load(recipe.read_text(encoding="utf-8"))["parts"]
    rates = {part: stage.rate / 10 if part == "towers" else stage.rate for part in parts}
    changes = [
        *TINY,
        "epochs=null",
        "replay=0",
        *stage.changes,
        *(f"parts.{part}.rate={rates[part]}" for part in parts),
    ]
    changes += [f"model={model}", f"output={output}", f"data=[{{path: {data}}}]", f"seed={seed}"]
    changes += [f"steps={stage.steps}", f"every={stage.steps + 1}"]  # no checkpoint on the way
    train(read_recipe(recipe, [*changes, f"batch={{samples: {stage.batch}}}"]))
    return output


def prove(seed: int, held: int, until: str, folder: Path) -> dict[str, list[Measured]]:
    """What the stages up to `until` did, with one seed."""
    model = folder / "random"
    write_model(model, seed)
    kinds = ("captions", "answers", "pairs", "thoughts")
    files = {kind: write_scenes(folder / "held", kind, held, 10_000 + seed, True) for kind in kinds}
    samples = {kind: list(read_samples(file)) for kind, file in files.items()}
    judge = Judge(model, samples)
    found = {}
    for stage in STAGES:
        model = learn(stage, model, folder, seed)
        before, judge = judge, Judge(model, samples)
        if check := CHECKS.get(stage.name):
            found[stage.name] = check(before, judge)
            print(f"seed {seed}, {stage.name}: {found[stage.name]}", file=sys.stderr, flush=True)
        if stage.name == until:
            break
    return found


def alone(seed: int, held: int, until: str) -> dict[str, list[Measured]]:
    """As `prove`, on one core and in a folder that does not stay."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = prove(seed, held, until, Path(folder))
    seconds = time.process_time()
    print(f"seed {seed}: {seconds:.0f} s of computing so far", file=sys.stderr, flush=True)
    return found


def rows(seed: int, found: dict[str, list[Measured]]) -> list[str]:
    """Of the table."""
    return [
        f"| {seed} | {stage} | {m.measure} | {m.before:.3f} | {m.after:.3f} | {m.wanted} "
        f"| {'yes' if m.met else 'NO'} |"
        for stage, measured in found.items()
        for m in measured
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--held", type=int, default=500, help="held-out samples of each kind")
    parser.add_argument("--until", choices=CHECKS, default="GRPO", help="the last stage")
    args = parser.parse_args()
    print("| seed | stage | measure | before | after | wanted | met |", "|" + "---|" * 7, sep="\n")
    met = True
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        results = pool.map(partial(alone, held=args.held, until=args.until), args.seeds)
        for seed, found in zip(args.seeds, results, strict=True):
            print(*rows(seed, found), sep="\n", flush=True)
            met = met and all(m.met for measured in found.values() for m in measured)
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
