"""Trains the embedded model from scratch: `python -m valley.nano.train`.

Five stages. `see`: the tower learns to tell what its patches show, easy pictures first. `look`: it
goes on, and the connector learns to write that as codes. `tell`: the decoder learns to answer from
those codes; it needs no tower and runs beside `look`. `ask`: connector and decoder go on together,
pictures and answers. `settle`: all parts, slowly, mostly on what the stages before saw least.

Every batch is a pure function of (seed, step), so a run that was stopped continues with the same
data; the learning rate depends on the share of planned steps only. Needs the packages that
README.md beside this file names.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import AutoTokenizer

from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import Batch, Steps
from valley.nano.looks import begin_to_copy
from valley.nano.losses import Trainer
from valley.nano.optimizer import make_optimizers
from valley.nano.saving import load_checkpoint, save_checkpoint, save_model
from valley.nano.shape import attend_to_neighbours, nano_config
from valley.nano.stages import (
    DECODER,
    ROUNDS,
    SAYS,
    STAGES,
    WRITES,
    Stage,
    Tally,
    gathered,
    group_loss,
    rate_at,
)
from valley.nano.tokenizer import write_tokenizer

SHARPNESS = 1.5
"""Of the decoder's queries and of its keys at first."""


def sum_gradients(trainer: Trainer) -> None:
    """Adds up the gradients of all processes, in place."""
    if not dist.is_initialized():
        return
    parameters = [p for p in trainer.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    pieces = flat.split([g.numel() for g in gradients])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)


def sum_over_all(seconds: float) -> float:
    """Adds up a number of all processes."""
    if not dist.is_initialized():
        return seconds
    total = torch.tensor(seconds, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total)


def train_step(
    stage: Stage,
    trainer: Trainer,
    optimizers: list[torch.optim.Optimizer],
    batch: Batch,
    ids: dict[str, int],
    args: argparse.Namespace,
    tally: Tally,
) -> None:
    """One optimizer step over all groups of all processes."""
    progress = batch.step / planned_steps(stage, args)
    for group, part in zip(batch.groups, batch.shares, strict=True):
        with torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.half):
            loss = group_loss(stage, progress, trainer, group, ids, args.device, tally)
        (part * loss).backward()
    sum_gradients(trainer)
    trained = [p for p in trainer.parameters() if p.requires_grad]
    tally.add("norm", nn.utils.clip_grad_norm_(trained, 1.0).detach(), 1)
    share = rate_at(batch.step, planned_steps(stage, args), stage)
    for optimizer in optimizers:
        for group_of in optimizer.param_groups:
            group_of["lr"] = args.rate * stage.rate * share * group_of.get("factor", 1.0)
        optimizer.step()
    trainer.zero_grad(set_to_none=True)


def planned_steps(stage: Stage, args: argparse.Namespace) -> int:
    return max(1, round(stage.steps * args.share))


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


def prepare(args: argparse.Namespace) -> tuple[Trainer, dict[str, int], Any]:
    """The untrained model in its trainer, the ids of structural tokens, and the tokenizer."""
    torch.manual_seed(args.seed)
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
    # Quicker than fused attention to go back through, for sequences as short as these.
    model.model.language_model.set_attn_implementation("eager")
    attend_to_neighbours(model.model.vision_tower)
    for layer in model.model.language_model.layers:
        # Silent layers, so that at first they do not drown what the tokens are.
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
        # Narrow heads cannot choose one token of a hundred otherwise.
        nn.init.constant_(layer.self_attn.q_norm.weight, SHARPNESS)
        nn.init.constant_(layer.self_attn.k_norm.weight, SHARPNESS)
    # Small visual tokens at first: the codes that they shall become are small.
    nn.init.normal_(model.model.vision_connector.mlp[0].weight, std=0.036)
    nn.init.normal_(model.model.vision_connector.mlp[2].weight, std=0.008)
    trainer = Trainer(model, args.compile)
    return trainer.to(args.device).train(), ids, tokenizer


def take_up(stage: Stage, trainer: Trainer, args: argparse.Namespace) -> None:
    """Loads what earlier stages trained, and lets only this stage's parameters move."""
    for name in stage.begins_with:
        state = torch.load(args.work / f"{name}.pt", map_location=args.device, weights_only=True)
        prefixes = STAGES[name].trains
        kept = {k: v for k, v in state["trainer"].items() if k.startswith((*prefixes, "codes."))}
        trainer.load_state_dict(kept, strict=False)
    for name, parameter in trainer.named_parameters():
        parameter.requires_grad_(name.startswith(stage.trains))


def train(rank: int, stage: Stage, processes: int, args: argparse.Namespace) -> None:
    """Runs or continues a stage in one of its processes; the first writes the files."""
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # over them a Xeon takes a fifth longer for `look`
    if processes > 1:
        store = f"tcp://127.0.0.1:{args.port}"
        dist.init_process_group("gloo", store, rank=rank, world_size=processes)
    trainer, ids, tokenizer = prepare(args)
    take_up(stage, trainer, args)
    if stage.trains == SAYS:
        trainer.codes.name(trainer.model.get_input_embeddings(), tokenizer)
        begin_to_copy(trainer.model.model.language_model, trainer.codes)
    optimizers = make_optimizers(
        trainer, stage.rate, torch.bfloat16 if args.half else torch.float32
    )
    total = planned_steps(stage, args)
    mean = AveragedModel(trainer) if stage.averages else None
    if mean:
        mean.update_parameters(trainer)
        mean.n_averaged.fill_(total)  # the beginning counts as much as all steps together
    checkpoint = args.work / f"{stage.name}.pt"
    start, wall, cpu = load_checkpoint(checkpoint, args.device, trainer, optimizers, mean)
    end = min(total, args.stop or total)
    steps = Steps(tokenizer, stage.plan, args.seed, total, rank, processes)
    wall_zero, cpu_before, drawn, tally = time.monotonic() - wall, cpu, 0.0, Tally()
    for batch in tqdm(
        batches(steps, start, end, args.workers),
        desc=stage.name,
        initial=start,
        total=end,
        mininterval=10,
        disable=rank > 0,
    ):
        torch.manual_seed(args.seed * 1_000_003 + batch.step)
        train_step(stage, trainer, optimizers, batch, ids, args, tally)
        if mean:
            mean.update_parameters(trainer)
        drawn, done = drawn + batch.cpu_seconds, batch.step + 1
        wall = time.monotonic() - wall_zero
        cpu = cpu_before + sum_over_all(sum(os.times()[:4]) + drawn * (args.workers > 0))
        if done % args.log_every == 0:
            means, tally = gathered(tally).means(), Tally()
            if rank == 0:
                row = {"step": done, "wall": round(wall, 1), "cpu": round(cpu, 1)}
                with (args.work / f"{stage.name}.jsonl").open("a") as log:
                    log.write(json.dumps(row | means) + "\n")
        if stage.gives_alphabet and done == total:
            trainer.codes.take_alphabet(trainer.head.readings())
        if mean and done == total:
            trainer.load_state_dict(mean.module.state_dict())
        if rank == 0 and (done % args.save_every == 0 or done == end):
            save_checkpoint(checkpoint, trainer, optimizers, mean, step=done, wall=wall, cpu=cpu)
            if set(WRITES + DECODER) <= set(stage.trains):
                save_model(args.out, trainer.model)
    if processes > 1:
        dist.destroy_process_group()


def train_beside(rank: int, names: tuple[str, ...], args: argparse.Namespace) -> None:
    """Runs the stages of a round, each in a process."""
    train(0, STAGES[names[rank]], 1, args)


def main() -> None:
    """Command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=here, help="folder of the finished model")
    parser.add_argument("--work", type=Path, default=Path("build/nano"), help="logs, checkpoints")
    parser.add_argument("--stage", choices=STAGES, help="only this stage")
    parser.add_argument("--share", type=float, default=1.0, help="of the planned steps")
    parser.add_argument("--stop", type=int, default=0, help="stop each stage at this step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=2, help="to share the work")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--workers", type=int, default=1, help="of each process, to draw pictures")
    parser.add_argument("--port", type=int, default=29541, help="on which the processes meet")
    parser.add_argument("--half", action="store_true", help="multiply in bfloat16")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--save-every", type=int, default=200)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    write_tokenizer(args.out)
    for names in ((args.stage,),) if args.stage else ROUNDS:
        if args.processes > 1 and len(names) > 1:
            torch.multiprocessing.spawn(train_beside, (names, args), nprocs=len(names))
        else:
            for name in names:
                share(STAGES[name], args)


def share(stage: Stage, args: argparse.Namespace) -> None:
    """Runs a stage in all processes."""
    if args.processes == 1:
        train(0, stage, 1, args)
    else:
        torch.multiprocessing.spawn(train, (stage, args.processes, args), nprocs=args.processes)


if __name__ == "__main__":
    main()
