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
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids

from valley.data.synthetic.sample import CHARS, COLOURS, KINDS
from valley.model.config import Valley2_5Config
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import (
    EARLY_STEPS,
    MAX_PIXELS,
    MIN_PIXELS,
    SETTLE_FROM,
    SINGLE_FROM,
    Batch,
    Group,
    Steps,
    patch_rows,
)
from valley.nano.optimizer import Muon, split_parameters
from valley.nano.tokenizer import write_tokenizer
from valley.pixels import CLIP_MEAN, CLIP_STD

MARK_CLASSES = (len(CHARS) + 1, len(CHARS) + 1, len(KINDS) + 1, len(COLOURS) + 1)
BLANK_WEIGHT = 0.1
"""Weight of "nothing here" among a patch's marks: most patches hold no glyph."""

MARKS_WEIGHT = 0.15
ALIGN_WEIGHT = 0.1

KIND_WEIGHTS = {
    "word": (0.15, 0.2),
    "card": (0.25, 0.4),
    "shape": (0.2, 0.6),
    "easy": (0.1, 0.6),
    "clip": (0.1, 0.4),
    "unknown": (0.05, 0.1),
    "page": (0.2, 0.1),
}
"""Weight of each group's mean answer loss before and from `SINGLE_FROM` on."""

KIND_NAMES = tuple(KIND_WEIGHTS)


@dataclass
class Options:
    """Everything that decides the result besides the data."""

    steps: int = 1620
    seed: int = 1
    peak_rate: float = 1.5e-3
    warmup: int = 60
    decay_from: float = 0.8025
    weight_decay: float = 0.05


def nano_config(vocabulary: int, token: dict[str, int]) -> Valley2_5Config:
    """Sizes of the model: about 6.2 million weights."""
    text = {
        "model_type": "qwen3",
        "vocab_size": vocabulary,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
        "initializer_range": 0.04,
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    vision = {
        "depth": 6,
        "embed_dim": 192,
        "num_heads": 6,
        "mlp_ratio": 4,
        "hidden_size": 256,
        "initializer_range": 0.04,
    }
    return Valley2_5Config(
        text_config=text,
        vision_config=vision,
        connector_hidden_size=768,
        image_token_id=token["<|image_pad|>"],
        tie_word_embeddings=True,
        eos_token_id=token["<|im_end|>"],
        pad_token_id=token["<|endoftext|>"],
    )


def mark_tokens(tokenizer: Any) -> Tensor:
    """Token ids that the classes of the four mark slots stand for: (4, classes), 0 unused."""
    table = torch.zeros(4, max(MARK_CLASSES), dtype=torch.long)
    names = (CHARS, CHARS, [f" {kind}" for kind in KINDS], [f" {colour}" for colour in COLOURS])
    for slot, words in enumerate(names):
        for index, word in enumerate(words):
            table[slot, index + 1] = tokenizer.encode(word)[0]
    return table


class MarkHead(nn.Module):
    """Reads characters and shapes off the tower's patches; used in training only."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, sum(MARK_CLASSES))

    def loss(self, features: Tensor, marks: Tensor) -> Tensor:
        """features (patches, width), marks uint8 (patches, 4); the mean over known marks."""
        total = features.new_zeros(())
        outputs = self.linear(self.norm(features)).float().split(MARK_CLASSES, -1)
        for slot, logits in enumerate(outputs):
            target = marks[:, slot].long()
            target = target.masked_fill(target == 255, -100)
            weight = torch.ones(MARK_CLASSES[slot], device=logits.device)
            weight[0] = BLANK_WEIGHT
            # Counted by the number of marks, so that a picture without any adds little.
            share = torch.where(target > 0, 1.0, BLANK_WEIGHT) * (target >= 0)
            loss = F.cross_entropy(logits, target, weight, ignore_index=-100, reduction="sum")
            total = total + loss / (share.sum() + 1.0)
        return total


def tower_block(block: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One block of Qwen2-VL's tower on equal pictures: (pictures, patches, width) in and out."""
    heads = block.attn.num_heads
    qkv = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, heads, -1))
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    half = q.shape[-1] // 2
    q = q * cos + torch.cat((-q[..., half:], q[..., :half]), -1) * sin
    k = k * cos + torch.cat((-k[..., half:], k[..., :half]), -1) * sin
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + block.attn.proj(mixed)
    return x + block.mlp(block.norm2(x))


class Trainer(nn.Module):
    """The model and its training-only head, with the losses of a group.

    Pictures of a group have one size, so that the tower runs on a dense tensor; the result equals
    the packed form's, which loops over pictures on a CPU.
    """

    def __init__(
        self,
        model: Valley2_5ForConditionalGeneration,
        marked: Tensor | None = None,
        compiled: bool = False,
    ):
        super().__init__()
        self.model = model
        self.register_buffer("marked", marked, persistent=False)
        self.head = MarkHead(model.config.vision_config.embed_dim)
        self.block = torch.compile(tower_block, dynamic=True) if compiled else tower_block
        if compiled:
            for layer in model.model.language_model.layers:
                layer.compile(dynamic=True)

    def features(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """uint8 (pictures, height, width, 3) -> (pictures, patches, tower width)."""
        tower = self.model.model.vision_tower
        kernel = tower.patch_embed.proj.weight.sum(2).flatten(1)
        x = F.linear(patch_rows(pixels, grid), kernel)
        thw = torch.tensor([[1, grid[0] * 2, grid[1] * 2]], device=x.device)
        cos, sin = tower.rotary_pos_emb(x, get_vision_position_ids(thw, 2))
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for block in tower.blocks:
            x = self.block(block, x, cos, sin)
        return x

    def align(self, tokens: Tensor, marks: Tensor) -> Tensor:
        """Draws visual tokens (blocks, width) to the embeddings of what their blocks show.

        marks: uint8 (blocks * 4, 4). Characters, kinds and colours stand for their own tokens.
        """
        found = marks.view(len(tokens), -1, 4).long()
        valid = ((found > 0) & (found < 255)).flatten(1)
        slots = torch.arange(4, device=marks.device).expand_as(found)
        names = self.marked[slots, found.masked_fill(found == 255, 0)].flatten(1)
        table = self.model.model.language_model.embed_tokens.weight.detach()
        scores = F.log_softmax(F.linear(tokens, table).float(), -1).gather(1, names)
        return -(scores * valid).sum() / (valid.sum() + 1.0)

    def embed(self, tokens: Tensor, ids: dict[str, int], after: Tensor) -> Tensor:
        """(samples, frames, tokens, width) and what follows -> (samples, length, width)."""
        table = self.model.model.language_model.embed_tokens
        samples, frames = tokens.shape[:2]

        def words(*names: str) -> Tensor:
            row = torch.tensor([ids[name] for name in names], device=tokens.device)
            return table(row).expand(samples, -1, -1)

        parts = [words("<|im_start|>", "user", "\n")]
        for frame in range(frames):
            opening = ("<im_start>",) if frame == 0 else (" ", "<im_start>")
            parts += [words(*opening), tokens[:, frame], words("<im_end>")]
        return torch.cat([*parts, table(after)], 1)

    def losses(
        self, group: Group, ids: dict[str, int], device: str
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Summed loss of the answers, losses of marks and alignment, number of right tokens."""
        pixels = group.pixels.to(device)
        samples, frames = pixels.shape[:2]
        x = self.features(pixels.flatten(0, 1), group.grid)
        marks = self.head.loss(x.flatten(0, 1), group.marks.to(device).view(-1, 4))
        tokens = self.model.model.vision_connector(x)
        aligned = self.align(tokens, group.marks.to(device).view(-1, 4))
        tokens = tokens.view(samples, frames, group.grid[0] * group.grid[1], -1)
        after, labels = group.after.to(device), group.labels.to(device)
        embeddings = self.embed(tokens, ids, after)
        states = self.model.model.language_model(inputs_embeds=embeddings, use_cache=False)
        hidden = states.last_hidden_state[:, -after.shape[1] : -1][labels[:, 1:] >= 0]
        logits = self.model.lm_head(hidden).float()
        target = labels[:, 1:][labels[:, 1:] >= 0]
        right = int((logits.detach().argmax(-1) == target).sum())
        return F.cross_entropy(logits, target, reduction="sum"), marks, aligned, right


def renew_connector(trainer: Trainer, batch: Batch, device: str) -> None:
    """Starts the connector afresh for the second stage: small tokens without a common part.

    While the tower changed fast, the connector grew a large vector that is the same for every
    picture, behind which a decoder finds nothing. The LayerNorm's new bias takes away the mean of
    its outputs over this batch.
    """
    connector = trainer.model.model.vision_connector
    torch.manual_seed(batch.step)
    with torch.no_grad():
        connector.ln_q.weight.fill_(1.0)
        connector.ln_q.bias.zero_()
        for linear, deviation in ((connector.mlp[0], 0.036), (connector.mlp[2], 0.008)):
            fresh = torch.empty(linear.weight.shape).normal_(0.0, deviation)
            linear.weight.copy_(fresh)
            linear.bias.zero_()
        means = []
        for group in batch.groups:
            pixels = group.pixels.to(device).flatten(0, 1)
            means.append(connector.ln_q(trainer.features(pixels, group.grid)).mean((0, 1)))
        mean = torch.stack(means).mean(0)
        if dist.is_initialized():
            dist.all_reduce(mean)
            mean /= dist.get_world_size()
        connector.ln_q.bias.copy_(-mean)


def rate_at(step: int, options: Options) -> float:
    """Share of the peak rate: linear warm-up in every stage, a plateau, half a cosine to zero."""
    since = step - (0, EARLY_STEPS, SETTLE_FROM)[stage_of(step)]
    if since < options.warmup:
        return (since + 1) / options.warmup
    late = (step / options.steps - options.decay_from) / (1 - options.decay_from)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, late)))) + 1e-3


def stage_of(step: int) -> int:
    """0 before the connector is renewed, 1 before AdamW takes over the decoder, 2 after."""
    return (step >= EARLY_STEPS) + (step >= SETTLE_FROM)


def make_optimizers(trainer: Trainer, options: Options, stage: int) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the rest; no weight decay on vectors.

    From the second stage on the connector and the patch embedding, whose inputs are wide, learn
    slower. In the third AdamW trains the decoder: orthogonal steps drown the weak signal of where
    to look under the noise of small batches.
    """
    hidden, matrices, plain = split_parameters(trainer)
    model = trainer.model.model
    wide = {id(p) for p in model.vision_connector.mlp.parameters()}
    wide |= {id(p) for p in model.vision_tower.patch_embed.parameters()}
    decoder = {id(p) for p in model.language_model.parameters()} if stage > 1 else set()
    decay = options.weight_decay
    slow = [p for p in matrices if id(p) in wide and stage > 0]
    fast = [p for p in matrices if not (id(p) in wide and stage > 0)]
    groups = [
        {"params": fast, "weight_decay": decay},
        {"params": [p for p in plain if id(p) not in decoder], "weight_decay": 0.0},
        {"params": slow, "weight_decay": decay, "factor": 0.2},
        {"params": [p for p in plain if id(p) in decoder], "weight_decay": 0.0, "factor": 0.7},
        {"params": [p for p in hidden if id(p) in decoder], "weight_decay": decay, "factor": 0.7},
    ]
    groups = [group for group in groups if group["params"]]
    tower = [p for p in hidden if id(p) not in decoder]
    muon = {"params": tower, "factor": 0.5 if stage > 1 else 1.0}
    return [
        Muon([muon], options.peak_rate, weight_decay=decay),
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
            loss, marks, aligned, right = trainer.losses(group, ids, device)
            tokens = int((group.labels[:, 1:] >= 0).sum())
            single = batch.step >= SINGLE_FROM
            weight = KIND_WEIGHTS[group.kind][single]
            part = (MARKS_WEIGHT * marks + ALIGN_WEIGHT * aligned) if single else weight * marks
            (weight * loss / tokens + part).backward()
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
        "image_processor_type": "Qwen2VLImageProcessor",
        "single_resize": True,
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [round(float(v), 8) for v in CLIP_MEAN],
        "image_std": [round(float(v), 8) for v in CLIP_STD],
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
    optimizers = make_optimizers(trainer, options, stage_of(state["step"] - 1) if state else 0)
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
        if batch.step == EARLY_STEPS:
            renew_connector(trainer, batch, args.device)
        if batch.step in (EARLY_STEPS, SETTLE_FROM):
            optimizers = make_optimizers(trainer, options, stage_of(batch.step))
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
