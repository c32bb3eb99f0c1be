"""Kills a run at random moments until it is done, beside one that nobody disturbs.

    python tests/evaluate/crash.py FOLDER [--kills 10] [--seed 0] [--model nano]

FOLDER holds POPE.tsv. Both must give the same replies to the same items. Without a model a
function of the request answers. Prints where each kill fell; exits with 1 where replies differ.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from evaluate.engines import Echo, asker, said
from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.items import Answer
from valley.evaluate.runner import run
from valley.evaluate.store import read_answers
from valley.evaluate.tables import read_table
from valley.types import Request

POPE = benchmark_of("POPE")


def slow(request: Request) -> None:
    """Some milliseconds of work."""
    hashlib.pbkdf2_hmac("sha256", said(request).encode(), b"", 3_000)


def work(data: Path, out: Path, model: str | None) -> int:
    if model is None:
        table = read_table(data / POPE.file, POPE)
        return run(asker(Echo(work=slow)), POPE, table.items, out / POPE.name / "replies.jsonl")
    # Only here, in the child: what a process has computed with torch does not survive its copying.
    from valley.evaluate.command import Options, evaluate

    return evaluate([POPE.name], data, out, Options(model, batch_size=4), None, resume=True)


def start(data: Path, out: Path, model: str | None) -> int:
    """The run in a child; this process never computes, so that its copy is sound."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(work(data, out, model))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def lines(out: Path) -> int:
    path = out / POPE.name / "replies.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def killed(child: int, out: Path, target: int, delay: float) -> bool:
    """Kill the child some moments after it wrote so many lines; False where it was done before."""
    while lines(out) < target:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    time.sleep(delay)
    if os.waitpid(child, os.WNOHANG)[0]:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def replies(out: Path) -> dict[str, Answer]:
    found = read_answers(out / POPE.name / "replies.jsonl")
    return {name: replace(answer, seconds=0.0) for name, answer in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    args = parser.parse_args()
    whole, broken = args.folder / "whole", args.folder / "broken"
    started = time.monotonic()
    if os.waitstatus_to_exitcode(os.waitpid(start(args.folder, whole, args.model), 0)[1]):
        return 1
    seconds = (time.monotonic() - started) / max(1, len(replies(whole)))
    generator = random.Random(args.seed)
    for number in range(args.kills):
        done = lines(broken)
        left = len(replies(whole)) - done
        target = done + generator.randrange(max(1, left // (args.kills - number)))
        child = start(args.folder, broken, args.model)
        if not killed(child, broken, target, generator.uniform(0, 4 * seconds)):
            print(f"done before kill {number + 1}")
            return 1
        print(f"killed at {lines(broken)} of {len(replies(whole))} replies")
    if os.waitstatus_to_exitcode(os.waitpid(start(args.folder, broken, args.model), 0)[1]):
        return 1
    equal = replies(whole) == replies(broken)
    print(f"{'equal' if equal else 'DIFFERENT'}: {len(replies(broken))} replies")
    return not equal


if __name__ == "__main__":
    sys.exit(main())
