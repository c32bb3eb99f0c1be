"""Trains the embedded model from scratch: `python -m valley.nano.train`.

Every batch is a pure function of (seed, step), so a run that was stopped continues with the same
data; the learning rate depends on the share of planned steps only. Needs the packages that
README.md beside this file names.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import AutoTokenizer

from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import MAX_PIXELS, MIN_PIXELS, Batch, Steps
from valley.nano.losses import Trainer, mark_tokens
from valley.nano.optimizer import Muon, split_parameters
from valley.nano.shape import nano_config
from valley.nano.tokenizer import write_tokenizer

MARKS_WEIGHT = 0.15
ALIGN_WEIGHT = 0.1

KIND_WEIGHTS = {
    "word": 0.3,
    "card": 0.4,
    "shape": 0.6,
    "easy": 0.4,
    "clip": 0.6,
    "unknown": 0.1,
    "page": 0.1,
}
"""Weight of each group's mean answer loss."""

KIND_NAMES = tuple(KIND_WEIGHTS)


@dataclass
class Options:
    """Everything that decides the result besides the data."""

    steps: int = 950
    seed: int = 1
    peak_rate: float = 1.5e-3
    warmup: int = 60
    decay_from: float = 0.7
    weight_decay: float = 0.05
    told_until: float = 0.4
    """Share of the steps until which some answers are learnt from told pictures (`tell`)."""


def rate_at(step: int, options: Options) -> float:
    """Share of the peak rate: linear warm-up, a plateau, half a cosine to zero."""
    late = (step / options.steps - options.decay_from) / (1 - options.decay_from)
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, late)))) + 1e-3
    return min(falling, (step + 1) / options.warmup)


def told_at(step: int, options: Options) -> float:
    """Share of the samples whose pictures are told: from a half down to none."""
    return 0.5 * max(0.0, 1 - step / (options.told_until * options.steps))


def make_optimizers(trainer: Trainer, options: Options) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the tower's layers, AdamW for the rest.

    No weight decay on vectors. The connector and the patch embedding, whose inputs are wide, learn
    slower. Orthogonal steps in the decoder would drown the weak signal of where to look.
    """
    hidden, matrices, plain = split_parameters(trainer)
    model = trainer.model.model
    wide = {id(p) for p in model.vision_connector.mlp.parameters()}
    wide |= {id(p) for p in model.vision_tower.patch_embed.parameters()}
    decoder = {id(p) for p in model.language_model.parameters()}
    decay = options.weight_decay
    groups = [
        {"params": [p for p in matrices if id(p) not in wide], "weight_decay": decay},
        {"params": [p for p in plain if id(p) not in decoder], "weight_decay": 0.0},
        {"params": [p for p in matrices if id(p) in wide], "weight_decay": decay, "factor": 0.2},
        {"params": [p for p in plain if id(p) in decoder], "weight_decay": 0.0, "factor": 0.7},
        {"params": [p for p in hidden if id(p) in decoder], "weight_decay": decay, "factor": 0.7},
    ]
    tower = {"params": [p for p in hidden if id(p) not in decoder]}
    return [
        Muon([tower], options.peak_rate, weight_decay=decay),
        torch.optim.AdamW(groups, lr=options.peak_rate, betas=(0.9, 0.97), fused=True),
    ]


def sum_over_processes(trainer: Trainer, numbers: Tensor) -> Tensor:
    """Adds up the gradients of all processes, in place, and returns the added numbers."""
    if not dist.is_initialized():
        return numbers
    parameters = [p for p in trainer.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([*(g.flatten() for g in gradients), numbers.flatten()])
    dist.all_reduce(flat)
    pieces = flat.split([g.numel() for g in gradients] + [numbers.numel()])
    for parameter, piece in zip(parameters, pieces, strict=False):
        parameter.grad = piece.view_as(parameter)
    return pieces[-1].view_as(numbers)


def train_step(
    trainer: Trainer,
    optimizers: list[torch.optim.Optimizer],
    batch: Batch,
    ids: dict[str, int],
    options: Options,
    device: str,
    half: bool,
) -> Tensor:
    """One optimizer step over all groups of all processes.

    Returns (kinds + 1, 4): summed loss, right tokens, tokens and mark loss of each kind of
    picture; the last row holds the seconds of drawing and the gradient's norm.
    """
    numbers = torch.zeros(len(KIND_NAMES) + 1, 4, device=device)
    for group in batch.groups:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            told = told_at(batch.step, options)
            loss, marks, aligned, right = trainer.losses(group, ids, device, told)
            tokens = int((group.labels[:, 1:] >= 0).sum())
            answers = KIND_WEIGHTS[group.kind] * loss / tokens
            (answers + MARKS_WEIGHT * marks + ALIGN_WEIGHT * aligned).backward()
        row = torch.tensor([float(loss.detach()), right, tokens, float(marks.detach())])
        numbers[KIND_NAMES.index(group.kind)] += row.to(device)
    numbers[-1, 0] = batch.cpu_seconds
    numbers = sum_over_processes(trainer, numbers)
    numbers[-1, 1] = nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
    for optimizer in optimizers:
        for group_of in optimizer.param_groups:
            rate = options.peak_rate * rate_at(batch.step, options)
            group_of["lr"] = rate * group_of.get("factor", 1.0)
        optimizer.step()
    trainer.zero_grad(set_to_none=True)
    return numbers


def averages(numbers: Tensor, steps: int) -> dict[str, float]:
    """Loss for each token, share of right tokens and mark loss for each kind of picture."""
    out = {"norm": round(float(numbers[-1, 1]) / steps, 3)}
    for kind, (loss, right, tokens, marks) in zip(KIND_NAMES, numbers.tolist(), strict=False):
        if tokens:
            out[f"{kind}_loss"] = round(loss / tokens, 4)
            out[f"{kind}_acc"] = round(right / tokens, 4)
            out[f"{kind}_marks"] = round(marks / steps, 4)
    return out


def save_checkpoint(
    path: Path, trainer: Trainer, optimizers: list[torch.optim.Optimizer], **state: float
) -> None:
    """Writes the whole training state; a crash leaves the previous file intact."""
    part = path.with_suffix(".part")
    both = {"trainer": trainer.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
    torch.save(state | both, part)
    os.replace(part, path)


def save_model(folder: Path, model: Valley2_5ForConditionalGeneration) -> None:
    """Writes config.json, weights in bfloat16 (to be loaded in float32), and the limits."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict() | {"dtype": "float32"}
    config["architectures"] = [type(model).__name__]
    config["origins"] = [
        {"part": part, "source": "trained here from scratch", "licence": "Apache-2.0"}
        for part in model.config.family.parts
    ]
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    (folder / "config.json").write_text(text + "\n")
    tensors = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    limits = {
        "processor_class": "ValleyProcessor",
        "single_resize": True,
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(limits, indent=2) + "\n")
    generation = {
        "do_sample": False,
        "max_new_tokens": 64,
        "eos_token_id": model.config.text_config.eos_token_id,
        "pad_token_id": model.config.text_config.pad_token_id,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def batches(steps: Steps, start: int, end: int, workers: int) -> Iterator[Batch]:
    """The batches from `start` to `end`, drawn ahead by worker processes."""
    loader = DataLoader(
        steps,
        batch_size=None,
        sampler=range(start, end),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)


def prepare(args: argparse.Namespace, options: Options) -> tuple[Trainer, dict[str, int], Any]:
    """The untrained model in its trainer, the ids of structural tokens, and the tokenizer."""
    torch.manual_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.out)
    names = (
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<|image_pad|>",
        "<im_start>",
        "<im_end>",
        "user",
        "\n",
        " ",
    )
    ids = {name: tokenizer.encode(name)[0] for name in names}
    model = Valley2_5ForConditionalGeneration(nano_config(len(tokenizer), ids)).float()
    # Small visual tokens: large ones with a common part hide what differs between pictures.
    nn.init.normal_(model.model.vision_connector.mlp[0].weight, std=0.036)
    nn.init.normal_(model.model.vision_connector.mlp[2].weight, std=0.008)
    return (
        Trainer(model, mark_tokens(tokenizer), args.compile).to(args.device).train(),
        ids,
        tokenizer,
    )


def train(rank: int, args: argparse.Namespace) -> None:
    """Runs or continues a training run in one of its processes; the first writes the files."""
    torch.set_num_threads(args.threads)
    if args.processes > 1:
        store = f"tcp://127.0.0.1:{args.port}"
        dist.init_process_group("gloo", store, rank=rank, world_size=args.processes)
    options = Options(steps=args.steps, seed=args.seed, peak_rate=args.rate)
    trainer, ids, tokenizer = prepare(args, options)
    start, wall, cpu = 0, 0.0, 0.0
    checkpoint = args.work / "checkpoint.pt"
    state = (
        torch.load(checkpoint, map_location=args.device, weights_only=True)
        if checkpoint.exists()
        else None
    )
    optimizers = make_optimizers(trainer, options)
    if state:
        trainer.load_state_dict(state["trainer"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start, wall, cpu = state["step"], state["wall"], state["cpu"]
    wall_zero, cpu_before = time.monotonic() - wall, cpu
    sums: Any = 0.0
    drawn, end = 0.0, min(options.steps, args.stop or options.steps)
    steps = Steps(tokenizer, options.seed, options.steps, rank, args.processes)
    progress = tqdm(
        batches(steps, start, end, args.workers),
        initial=start,
        total=end,
        mininterval=10,
        disable=rank > 0,
    )
    for batch in progress:
        numbers = train_step(trainer, optimizers, batch, ids, options, args.device, args.half)
        sums, drawn, done = sums + numbers, drawn + float(numbers[-1, 0]), batch.step + 1
        if rank > 0:
            continue
        wall = time.monotonic() - wall_zero
        # The processes share the work evenly, so that this one's seconds stand for all.
        cpu = cpu_before + time.process_time() * args.processes + drawn * (args.workers > 0)
        if done % args.log_every == 0:
            row = {"step": done, "wall": round(wall, 1), "cpu": round(cpu, 1)}
            with (args.work / "log.jsonl").open("a") as log:
                log.write(json.dumps(row | averages(sums, args.log_every)) + "\n")
            sums = 0.0
        if done % args.save_every == 0 or done == end:
            save_checkpoint(checkpoint, trainer, optimizers, step=done, wall=wall, cpu=cpu)
            save_model(args.out, trainer.model)


def main() -> None:
    """Command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=here, help="folder of the finished model")
    parser.add_argument("--work", type=Path, default=Path("build/nano"), help="log and checkpoint")
    parser.add_argument("--steps", type=int, default=Options.steps, help="planned steps")
    parser.add_argument("--stop", type=int, default=0, help="stop earlier, to continue later")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--rate", type=float, default=Options.peak_rate, help="peak learning rate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=2, help="share each step's groups")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--workers", type=int, default=1, help="of each process, to draw pictures")
    parser.add_argument("--port", type=int, default=29541, help="on which the processes meet")
    parser.add_argument("--half", action="store_true", help="bfloat16 autocast (for CUDA)")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--save-every", type=int, default=200)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    write_tokenizer(args.out)
    if args.processes > 1:
        torch.multiprocessing.spawn(train, (args,), nprocs=args.processes)
    else:
        train(0, args)


if __name__ == "__main__":
    main()
