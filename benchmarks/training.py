"""Training beside its peers in one run: packed rows beside padded batches, and the loss in pieces
beside whole logits.

    python benchmarks/training.py [--samples 48] [--repeat 3] [--tokens 8192]

Packed beside padded: the same random model of the Valley2.5 shape and the same samples, those of
benchmarks/packing.py (its stream with pictures, its mixed one) at a quarter of their size, forward
and backward, useful tokens a second. The peer pads batches of four to their longest and lets the
model compute the loss.
The loss: a language head of 151,679 words on states of width 256, peak memory above what was there
before and seconds, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from packing import TILE, mixed, pictures
from speed import ratio
from torch import Tensor

from valley.data.packing import Item, Packer, Packing
from valley.model.config import Valley2_5Config
from valley.model.log_probs import target_log_probs
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.model.segments import SEGMENTS

VOCABULARY, WIDTH, IMAGE = 151_679, 256, 5
#: Patches of a tile on a side, and how much smaller samples and rows are than those of packing.py.
SIDE, SMALLER = 16, 4
ROW = 8192 // SMALLER


def model() -> Valley2_5ForConditionalGeneration:
    text = {
        "model_type": "qwen3",
        "vocab_size": 16_384,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "use_cache": False,
        "bos_token_id": None,
        "eos_token_id": 1,
    }
    vision = {"depth": 2, "embed_dim": 128, "num_heads": 4, "mlp_ratio": 4, "hidden_size": WIDTH}
    config = Valley2_5Config(
        text_config=text,
        vision_config=vision,
        connector_hidden_size=2 * WIDTH,
        image_token_id=IMAGE,
    )
    return Valley2_5ForConditionalGeneration(config).float().train()


@dataclass(frozen=True)
class Sequence:
    """Ids, every word learnt, and the pixels of its tiles."""

    ids: Tensor
    tiles: int

    @property
    def pixels(self) -> Tensor:
        return torch.zeros(self.tiles * SIDE * SIDE, 1176)


def samples(items: list[Item]) -> list[Sequence]:
    """Samples of a stream, a quarter as long."""
    rng = np.random.default_rng(0)
    found = []
    for item in items:
        tiles = item.visual // TILE
        shown = tiles * TILE // SMALLER
        words = rng.integers(10, 16_000, max(4, item.length // SMALLER - shown))
        ids = torch.cat([torch.full((shown,), IMAGE), torch.from_numpy(words)])
        found.append(Sequence(ids[:ROW], tiles))
    return found


def pixels_of(batch: list[Sequence]) -> dict[str, Tensor]:
    tiles = sum(item.tiles for item in batch)
    if not tiles:
        return {}
    grids = torch.tensor([[1, SIDE, SIDE]] * tiles)
    return {"pixel_values": torch.cat([s.pixels for s in batch]), "image_grid_thw": grids}


def padded_step(net: Valley2_5ForConditionalGeneration, every: list[Sequence]) -> None:
    """Batches of four, padded; what transformers' Trainer does with a stock collator."""
    net.set_attn_implementation({"text_config": "sdpa"})
    for start in range(0, len(every), 4):
        batch = every[start : start + 4]
        pad = torch.nn.utils.rnn.pad_sequence
        ids = pad([item.ids for item in batch], batch_first=True)
        mask = pad([torch.ones_like(item.ids) for item in batch], batch_first=True)
        labels = ids.masked_fill((mask == 0) | (ids == IMAGE), -100)
        net(
            input_ids=ids, attention_mask=mask, labels=labels, **pixels_of(batch), use_cache=False
        ).loss.backward()
    net.zero_grad()


def packed_step(net: Valley2_5ForConditionalGeneration, every: list[Sequence]) -> None:
    """Rows of `ROW` tokens at most, attended sample by sample."""
    net.set_attn_implementation({"text_config": SEGMENTS})
    items = [Item(n, len(s.ids), s.tiles * TILE // SMALLER) for n, s in enumerate(every)]
    for (pack,) in Packer(Packing(ROW, buffer=len(items)), lambda start: iter(items[start:])):
        batch = [every[item.position] for item in pack]
        lengths = torch.tensor([len(item.ids) for item in batch])
        bounds = torch.cat([torch.zeros(1), lengths.cumsum(0)]).to(torch.int32)
        ids = torch.cat([item.ids for item in batch])[None]
        labels = ids.masked_fill(ids == IMAGE, -100)
        labels[0, bounds[:-1].long()] = -100
        found = net(
            input_ids=ids,
            position_ids=torch.cat([torch.arange(n) for n in lengths.tolist()])[None],
            cu_seq_lens_q=bounds,
            cu_seq_lens_k=bounds,
            labels=labels,
            only_log_probs=True,
            use_cache=False,
            **pixels_of(batch),
        )
        (-found["log_probs"].sum() / max(1, (labels != -100).sum())).backward()
    net.zero_grad()


def throughput(name: str, items: list[Item], repeat: int) -> str:
    torch.manual_seed(0)
    net, every = model(), samples(items)
    number = len(every)
    useful = sum(len(item.ids) for item in every)
    padded = sum(
        4 * max(len(item.ids) for item in every[start : start + 4]) for start in range(0, number, 4)
    )
    times, seconds = ratio(lambda: packed_step(net, every), lambda: padded_step(net, every), repeat)
    return (
        f"| {name}: rows of {ROW:,} beside batches of 4, {useful / padded:.0%} of them useful "
        f"| {times:.2f} | {seconds:.2f} s, {useful / seconds:,.0f} useful tokens/s |"
    )


def measured(way: str, tokens: int) -> dict[str, float]:
    """Peak memory in GiB above the inputs', seconds, and norms of both gradients."""
    command = [sys.executable, __file__, "--way", way, "--tokens", str(tokens)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory() -> int:
    """Of this process, in KiB. What getrusage counts begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


def loss_alone(way: str, tokens: int) -> dict[str, float]:
    torch.manual_seed(0)
    hidden = torch.randn(1, tokens + 1, WIDTH, requires_grad=True)
    head = (torch.randn(VOCABULARY, WIDTH) / 16).requires_grad_()
    labels = torch.randint(0, VOCABULARY, (1, tokens + 1))
    hidden.grad, head.grad = torch.zeros_like(hidden), torch.zeros_like(head)
    before = peak_memory()
    started = time.perf_counter()
    if way == "pieces":
        loss = -target_log_probs(hidden, head, labels).sum() / tokens
    else:
        logits = (hidden[0, :-1] @ head.T).float()
        loss = torch.nn.functional.cross_entropy(logits, labels[0, 1:])
    loss.backward()
    seconds = time.perf_counter() - started
    peak = peak_memory() - before
    gradients = [float(tensor.grad.double().norm()) for tensor in (hidden, head)]
    return {"peak": peak / 2**20, "seconds": seconds, "a": gradients[0], "b": gradients[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--way", choices=("pieces", "whole"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(loss_alone(args.way, args.tokens)))
        return
    print("| what | peer / ours | ours |\n|---|---|---|")
    for name, stream in (("pictures", pictures), ("mixed", mixed)):
        drawn = stream(args.samples, np.random.default_rng(1))
        print(throughput(name, drawn, args.repeat))
    pieces, whole = (measured(way, args.tokens) for way in ("pieces", "whole"))
    apart = max(abs(pieces[name] / whole[name] - 1) for name in ("a", "b"))
    assert apart < 1e-5, f"the gradients' norms differ by {apart:.1e}"
    print(
        f"| loss of {args.tokens:,} tokens over {VOCABULARY:,} words, in pieces beside whole "
        f"logits: memory | {whole['peak'] / pieces['peak']:.1f} | {pieces['peak']:.2f} GiB, "
        f"{pieces['peak'] / whole['peak']:.0%} of {whole['peak']:.2f} |"
    )
    print(
        f"| its seconds | {whole['seconds'] / pieces['seconds']:.2f} | {pieces['seconds']:.1f} s; "
        f"norms of the gradients differ by {apart:.0e} |"
    )


if __name__ == "__main__":
    main()
