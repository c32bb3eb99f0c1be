"""Kills a training at random moments until it is done, beside one that nobody disturbs.

    python tests/train/crash.py RECIPE.yaml [--kills 20] [--seed 0]

Both must log the same losses and gradient norms, and write the same weights. Prints where each kill
fell and `equal` or what differs; exits with 1 where something does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from valley.train.loop import checkpoints, newest_checkpoint
from valley.train.recipe import Recipe, read_recipe
from valley.train.run import train


def start(recipe: Recipe) -> int:
    """The training in a child; this process never computes, so that its copy is sound."""
    child = os.fork()
    if child:
        return child
    try:
        sink = os.open(recipe.output.parent / f"{recipe.output.name}.log", os.O_CREAT | os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        train(recipe)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(recipe: Recipe, moment: float) -> bool:
    """Start, and kill after `moment` seconds; False where the training was done before."""
    child = start(recipe)
    time.sleep(moment)
    done, _ = os.waitpid(child, os.WNOHANG)
    if done:
        return False
    os.kill(child, signal.SIGKILL)
    wait(child)
    return True


def curve(recipe: Recipe) -> list[tuple[int, float, float]]:
    last = newest_checkpoint(recipe.output)
    assert last is not None
    state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
    rows = [row for row in state["log_history"] if "loss" in row]
    return [(row["step"], row["loss"], row["grad_norm"]) for row in rows]


def survive(recipe: Recipe, kills: int, whole: float, generator: random.Random) -> int:
    """Train with at most so many kills in between; how many there were, -1 for a failure."""
    for number in range(kills):
        moment = generator.uniform(0.1, 0.9) * whole
        if not killed(recipe, moment):
            return number
        names = [path.name for path in checkpoints(recipe.output)]
        print(f"killed after {moment:.1f} s: {', '.join(names) or 'no checkpoint yet'}")
    return -1 if wait(start(recipe)) else kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    recipe, generator = read_recipe(args.recipe), random.Random(args.seed)
    recipe.output.mkdir(parents=True, exist_ok=True)
    calm = replace(recipe, output=recipe.output / "calm")
    began = time.monotonic()
    if wait(start(calm)):
        return failed(calm)
    whole, left, runs = time.monotonic() - began, args.kills, 0
    while left > 0:
        runs += 1
        rough = replace(recipe, output=recipe.output / f"rough-{runs}")
        kills = survive(rough, left, whole, generator)
        if kills < 0:
            return failed(rough)
        left -= kills
        weights = [(run.output / "model.safetensors").read_bytes() for run in (calm, rough)]
        if curve(calm) != curve(rough) or weights[0] != weights[1]:
            print("different:", curve(calm), curve(rough), sep="\n")
            return 1
    print(
        f"equal: {len(curve(calm))} logged losses and gradient norms, and all weights, "
        f"in {runs} runs killed {args.kills} times"
    )
    return 0


def failed(recipe: Recipe) -> int:
    log = recipe.output.parent / f"{recipe.output.name}.log"
    print(log.read_text(encoding="utf-8", errors="replace")[-2000:])
    return 1


if __name__ == "__main__":
    sys.exit(main())
