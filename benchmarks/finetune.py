"""A fine-tune of nano with adapters: what it learns, and what it forgets.

    python benchmarks/finetune.py [--pictures 40] [--set KEY=VALUE …]

Runs the three commands of docs/training.md in a folder of its own, then asks nano and the merged
model the 50 held-out questions, and the questions of easy-vqa's first test pictures. Answers are
greedy and have to be equal. Needs easy-vqa.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import valley
from valley.data.formats import read_samples
from valley.data.synthetic.easy import easy_questions
from valley.types import Image, Message, Sample, Sampling

ROOT = Path(__file__).parent.parent
#: The targets: right before at most, right after at least, points that easy-vqa may fall.
BEFORE, AFTER, FALL = 0.2, 0.8, 0.02


def commands(changes: Sequence[str]) -> list[list[str]]:
    recipe = str(ROOT / "recipes" / "finetune-lora.yaml")
    changed = [word for change in changes for word in ("--set", change)]
    return [
        [str(ROOT / "examples" / "finetune" / "signs.py"), "data/signs"],
        ["-m", "valley", "train", recipe, *changed],
        ["-m", "valley", "merge", "runs/finetune-lora", "runs/signs"],
    ]


def easy(pictures: int) -> list[Sample]:
    return [
        Sample((Message.of("user", Image(path), question), Message.of("assistant", answer)))
        for path, pairs in easy_questions("test")[:pictures]
        for question, answer in pairs
    ]


def right(model: str, samples: Sequence[Sample]) -> float:
    """Share of the samples whose answer the model gives."""
    chat = valley.load(model, dtype="float32")
    requests = (chat.planner.conversation(sample.messages[:1]) for sample in samples)
    replies = chat.engine.run(requests, Sampling(max_new_tokens=16))
    answers = [sample.messages[-1].text for sample in samples]
    pairs = zip(replies, answers, strict=True)
    return sum(r.text.lower() == a.lower() for r, a in pairs) / len(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=40, help="of easy-vqa's test split")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        for command in commands(args.changes):
            subprocess.run([sys.executable, *command], cwd=folder, check=True, env=_environment())
        seconds = time.monotonic() - started
        sets = {
            "held-out questions": list(read_samples(Path(folder, "data/signs/held_out.jsonl"))),
            "easy-vqa": easy(args.pictures),
        }
        models = ("nano", str(Path(folder, "runs/signs")))
        found = {
            name: [right(model, samples) for model in models] for name, samples in sets.items()
        }
    print(f"\nthree commands: {seconds:.0f} s\n")
    print("| questions | number | before | after |\n|---|---|---|---|")
    for name, (before, after) in found.items():
        print(f"| {name} | {len(sets[name])} | {before:.1%} | {after:.1%} |")
    (before, after), (knew, knows) = found.values()
    passed = before < BEFORE and after > AFTER and knew - knows <= FALL
    print(
        f"\nbelow {BEFORE:.0%} before, above {AFTER:.0%} after, easy-vqa down at most "
        f"{FALL:.0%}: {'yes' if passed else 'NO'}"
    )
    if not passed:
        raise SystemExit(1)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


if __name__ == "__main__":
    main()
