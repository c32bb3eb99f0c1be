"""Kills an evaluation at random moments until it is done, beside one that nobody disturbs.

    python tests/evaluate/crash.py FOLDER [--kills 10] [--seed 0] [--model nano]

FOLDER holds the tables. Both evaluations are scored by both profiles; replies and reports must be
the same. Without a model a function of the request answers. Prints where each kill fell and what
the scores are; exits with 1 where the two differ.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

# It computes nothing here: what a process has computed with torch does not survive its copying.
from evaluate.engines import Echo, asker, said
from valley.evaluate import command
from valley.evaluate.items import Answer
from valley.evaluate.profiles import PROFILES
from valley.evaluate.report import write_report
from valley.evaluate.report.sources import items_in
from valley.evaluate.scores import read_scores
from valley.evaluate.scoring import score_file
from valley.evaluate.store import REPLIES, read_answers
from valley.types import Reply, Request

BENCHMARKS = (
    *("POPE", "OCRBench", "Products_Open", "Products_Choice", "Products_Rank", "Products_JSON"),
)
REPORTS = ("report.md", "report.json", "report.html")


class Guesser(Echo):
    """Gives an answer of some benchmark, in some milliseconds."""

    ANSWERS = ("Yes", "no", "3", "It is 7.", "A", "C.", "$12.99", '{"price": 3}')

    def reply(self, request: Request) -> Reply:
        text = self.ANSWERS[int(said(request), 16) % len(self.ANSWERS)]
        return replace(super().reply(request), text=text, raw=text)

    def score(self, request: Request, candidates: Sequence[str]) -> list[float]:
        slow(request)
        return [hash_of(said(request) + text) for text in candidates]


def hash_of(text: str) -> float:
    return hashlib.sha256(text.encode()).digest()[0] / 256


def slow(request: Request) -> None:
    hashlib.pbkdf2_hmac("sha256", said(request).encode(), b"", 3_000)


def work(data: Path, out: Path, model: str | None) -> int:
    if model is None:
        command.local_asker = lambda options, limits: asker(Guesser(work=slow))
    options = command.Options(model, batch_size=4)
    return command.evaluate(BENCHMARKS, data, out, options, None, resume=True)


def start(data: Path, out: Path, model: str | None) -> int:
    """The evaluation in a child."""
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
    return sum(path.read_bytes().count(b"\n") for path in out.glob(f"*/{REPLIES}"))


def killed(child: int, out: Path, target: int, delay: float) -> bool:
    """Kill the child some moments after it wrote so many lines; False where it was done before."""
    while lines(out) < target:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    time.sleep(delay)
    if os.waitpid(child, os.WNOHANG)[0]:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def replies(out: Path) -> dict[tuple[str, str], Answer]:
    return {
        (name, index): replace(answer, seconds=0.0)
        for name in BENCHMARKS
        for index, answer in read_answers(out / name / REPLIES).items()
    }


def reports(data: Path, out: Path) -> list[bytes]:
    """The bytes of the reports on an evaluation, which is scored first."""
    for name in BENCHMARKS:
        for profile in PROFILES:
            score_file(out / name / REPLIES, name, profile)
    write_report(out, items_of=items_in(data))
    return [(out / name).read_bytes() for name in REPORTS]


def table(out: Path) -> Iterator[str]:
    """What an evaluation came to, a line for each benchmark."""
    yield f"| table | items | {' | '.join(f'{profile}, %' for profile in PROFILES)} |"
    yield f"|---|---|{'---|' * len(PROFILES)}"
    for name in BENCHMARKS:
        found = [read_scores(out / name, profile)[0] for profile in PROFILES]
        percents = " | ".join(f"{scores.figures[0].percent:.1f}" for scores in found)
        yield f"| {name} | {found[0].samples} | {percents} |"


def disturbed(data: Path, out: Path, whole: int, seconds: float, args: argparse.Namespace) -> bool:
    """Evaluate with kills on the way, `whole` replies in all; False where it was done too soon."""
    generator = random.Random(args.seed)
    for number in range(args.kills):
        done = lines(out)
        target = done + generator.randrange(max(1, (whole - done) // (args.kills - number)))
        child = start(data, out, args.model)
        if not killed(child, out, target, generator.uniform(0, 4 * seconds)):
            print(f"done before kill {number + 1}")
            return False
        print(f"killed at {lines(out)} of {whole} replies")
    return not os.waitstatus_to_exitcode(os.waitpid(start(data, out, args.model), 0)[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    args = parser.parse_args()
    data, whole, broken = args.folder, args.folder / "whole", args.folder / "broken"
    started = time.monotonic()
    if os.waitstatus_to_exitcode(os.waitpid(start(data, whole, args.model), 0)[1]):
        return 1
    number = len(replies(whole))
    seconds = time.monotonic() - started
    if not disturbed(data, broken, number, seconds / number, args):
        return 1
    same = replies(whole) == replies(broken)
    print(f"{'equal' if same else 'DIFFERENT'}: {len(replies(broken))} replies")
    pairs = list(zip(REPORTS, reports(data, whole), reports(data, broken), strict=True))
    for name, one, other in pairs:
        print(f"{'equal' if one == other else 'DIFFERENT'}: {name}, {len(one)} bytes")
    print(*table(whole), sep="\n")
    return not (same and all(one == other for _, one, other in pairs))


if __name__ == "__main__":
    sys.exit(main())
