"""A CUDA device beside the CPU: the same answers, the same training, and how long both take.

    python benchmarks/gpu.py

Answers: every golden checkpoint and nano in float32, the same questions about a picture, two
pictures and none; greedy tokens compared, and the logits of the last prompt token. Training: the
fine-tune of docs/training.md for 20 steps in float32 on both, then in bfloat16 through torchrun
with one process, which exchanges gradients by NCCL. Speed: nano's replies a second, 64 questions at
once. Exit status 1 where tokens or losses differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import valley  # noqa: E402
from golden import folders  # noqa: E402
from model.pictures import picture  # noqa: E402
from valley.types import Request, Sampling  # noqa: E402

STEPS, LOGITS, LOSSES = 20, 2e-3, 2e-3
TRAINING = [
    str(ROOT / "recipes/finetune-lora.yaml"),
    *(word for change in (f"steps={STEPS}", "every=10") for word in ("--set", change)),
]


def checkpoints(scratch: Path) -> Iterator[tuple[str, str]]:
    """Name and folder of every golden checkpoint, written here, and nano."""
    for source in (folders.VALLEY, folders.SAIL):
        folder = folders.complete(source, scratch / source.name)
        for name in folders.sets(folder):
            yield name, str(folders.write_checkpoint(folder, name, scratch / name))
    yield "nano", "nano"


def questions(chat: Any) -> list[Request]:
    wide, tall = picture(1, 200, 60), picture(2, 60, 200)
    return [
        chat.request("What is this?", wide),
        chat.request("Compare.", wide, tall),
        chat.request("Hello"),
    ]


@torch.inference_mode()
def logits(chat: Any, request: Request) -> torch.Tensor:
    """`[V]`: what the model makes of the last token of a request."""
    model = chat.engine.model
    inputs = chat.processor.collate([chat.processor.encode(request)]).to(model.device)
    return model(**inputs, logits_to_keep=1).logits[0, -1].float().cpu()


def answers(folder: str) -> tuple[int, int, float]:
    """Replies of equal tokens, replies, and the largest difference of logits."""
    chats = [valley.load(folder, device=name, dtype="float32") for name in ("cpu", "cuda")]
    asked = [questions(chat) for chat in chats]
    replies = [
        [reply.token_ids for reply in chat.engine.run(some, Sampling(max_new_tokens=12))]
        for chat, some in zip(chats, asked, strict=True)
    ]
    differences = [
        (logits(chats[0], ours) - logits(chats[1], theirs)).abs().max().item()
        for ours, theirs in zip(*asked, strict=True)
    ]
    equal = sum(a == b for a, b in zip(*replies, strict=True))
    return equal, len(replies[0]), max(differences)


@dataclass(frozen=True)
class Training:
    """The fine-tune with some settings; `hidden` leaves it the CPU alone."""

    name: str
    folder: str
    settings: tuple[str, ...] = ()
    hidden: bool = False
    launcher: tuple[str, ...] = ()

    def losses(self, work: Path) -> list[float]:
        given = [*TRAINING, "--set", f"output=runs/{self.folder}", *self.settings]
        command = (*self.launcher, "-m", "valley", "train", *given)
        python(work, *command, **({"CUDA_VISIBLE_DEVICES": ""} if self.hidden else {}))
        states = (work / "runs" / self.folder).glob("checkpoint-*/trainer_state.json")
        newest = max(states, key=lambda path: path.stat().st_mtime)
        history = json.loads(newest.read_text(encoding="utf-8"))["log_history"]
        return [row["loss"] for row in history if "loss" in row]


TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "1")
TRAININGS = (
    Training("CPU, float32", "cpu", hidden=True),
    Training("CUDA, float32", "cuda"),
    Training("CUDA, bfloat16, torchrun", "nccl", ("--set", "precision=bfloat16"), False, TORCHRUN),
)


def python(work: Path, *arguments: str, **environment: str) -> None:
    """Run Python with the package in `work`; a failure ends everything with its last words."""
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)])
    variables = {**os.environ, "PYTHONPATH": paths, **environment}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=work, env=variables, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.decode()[-2000:]}")


def rate(device: str) -> float:
    """nano's replies a second."""
    chat = valley.load("nano", device=device, dtype="float32")
    requests = [chat.request("What is the price?", picture(n, 224, 224)) for n in range(64)]
    list(chat.engine.run(requests[:8], Sampling(max_new_tokens=8)))
    started = time.perf_counter()
    list(chat.engine.run(requests, Sampling(max_new_tokens=8)))
    return len(requests) / (time.perf_counter() - started)


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs a CUDA device")
    failed = False
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| checkpoint | equal replies | largest difference of logits |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, checkpoint in checkpoints(Path(folder)):
            equal, number, difference = answers(checkpoint)
            failed |= equal < number or difference > LOGITS
            print(f"| {name} | {equal} of {number} | {difference:.1e} |", flush=True)
        print("\n| training | first loss | last loss | seconds |\n|---|---|---|---|")
        python(Path(folder), str(ROOT / "examples/finetune/signs.py"), "data/signs")
        runs = []
        for training in TRAININGS:
            started = time.perf_counter()
            runs.append(losses := training.losses(Path(folder)))
            seconds = time.perf_counter() - started
            print(f"| {training.name} | {losses[0]:.4f} | {losses[-1]:.4f} | {seconds:.0f} |")
        apart = max(abs(a - b) for a, b in zip(runs[0], runs[1], strict=True))
        failed |= apart > LOSSES
        print(f"\nLargest difference of the {len(runs[0])} losses in float32: {apart:.1e}.\n")
    print("| nano | replies a second |\n|---|---|")
    for device in ("cpu", "cuda"):
        print(f"| {device} | {rate(device):.0f} |")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
