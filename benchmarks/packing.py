"""The packer beside padded batches and two packers that do not look at visual tokens.

    python benchmarks/packing.py [--samples 40000] [--tower SECONDS --decoder SECONDS]

Two streams of samples, drawn at random: *pictures*, of 0 to 11 tiles (256 tokens each) with short
texts; *mixed*, of long texts alone (60 %), pictures (25 %), and several pictures or clips, half of
whose tokens are visual. Peers: batches of 4 a rank padded to the longest; first fit, where each
sample goes to the first rank with room and a step ends when one fits nowhere; and our packer told
that no token is visual.

Load is the visual tokens of the busiest rank over the mean of the ranks. Step is the time of the
slowest rank for each useful token, over that of the packer; padding is computed too. It is
simulated: a token costs `--decoder`, a visual token `--tower` in addition. By default both are
measured first, forwards and backwards: one layer of the tower over one tile, one layer of the
decoder, a tenth of the language head, at the width of SAIL-VL-1.5-2B, times how often it has them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
from torch import nn
from transformers.models.aimv2.configuration_aimv2 import Aimv2VisionConfig
from transformers.models.aimv2.modeling_aimv2 import Aimv2EncoderLayer
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model

from valley.data.packing import Item, Packer, Packing, Summary

RANKS, LENGTH, TILE, BATCH = 8, 8192, 256, 4
PACKING = Packing(LENGTH, ranks=RANKS)
#: SAIL-VL-1.5-2B: a tower of AIMv2-Huge's size, 4 patches of which make a token, and Qwen2.5-1.5B.
TOWER = Aimv2VisionConfig(hidden_size=1536, intermediate_size=4096, num_attention_heads=12)
TOWER_LAYERS, PATCHES = 24, 4
DECODER = Qwen2Config(
    vocab_size=8,  # the embedding is a look-up, the head is measured by itself
    hidden_size=1536,
    intermediate_size=8960,
    num_hidden_layers=1,
    num_attention_heads=12,
    num_key_value_heads=2,
)
DECODER_LAYERS, VOCABULARY = 28, 151_655
#: Tokens of a decoder's sample that is measured.
MEASURED = 512
Steps = list[list[tuple[Item, ...]]]


def pictures(number: int, rng: np.random.Generator) -> list[Item]:
    tiles = rng.integers(0, 12, number)
    return items(tiles, rng.lognormal(np.log(180), 0.8, number))


def mixed(number: int, rng: np.random.Generator) -> list[Item]:
    kind = rng.choice(3, number, p=[0.6, 0.25, 0.15])
    one, several = rng.integers(1, 12, number), rng.integers(8, 29, number)
    words = rng.lognormal(np.log(np.where(kind == 0, 1200, 180)), 0.9)
    return items(np.choose(kind, [np.zeros_like(one), one, several]), words)


def items(tiles: np.ndarray, words: np.ndarray) -> list[Item]:
    visual = tiles * TILE
    length = np.minimum(visual + np.maximum(words, 16), LENGTH).astype(int)
    pairs = zip(length.tolist(), visual.tolist(), strict=True)
    return [Item(i, *pair) for i, pair in enumerate(pairs)]


def packed(stream: list[Item]) -> tuple[Steps, int]:
    packer = Packer(PACKING, lambda position: islice(stream, position, None))
    return list(packer), packer.oldest


def by_length(stream: list[Item]) -> tuple[Steps, int]:
    steps, oldest = packed([item._replace(visual=0) for item in stream])
    return [[tuple(stream[i.position] for i in pack) for pack in step] for step in steps], oldest


def first_fit(stream: list[Item]) -> tuple[Steps, int]:
    steps: Steps = []
    packs: list[list[Item]] = [[] for _ in range(RANKS)]
    room = [LENGTH] * RANKS
    for item in stream:
        rank = next((r for r in range(RANKS) if room[r] >= item.length), None)
        if rank is None:
            steps.append([tuple(pack) for pack in packs])
            packs, room, rank = [[] for _ in range(RANKS)], [LENGTH] * RANKS, 0
        packs[rank].append(item)
        room[rank] -= item.length
    return [*steps, [tuple(pack) for pack in packs]], 0


def padded(stream: list[Item]) -> tuple[Steps, int]:
    packs = [tuple(stream[i : i + BATCH]) for i in range(0, len(stream), BATCH)]
    return [packs[i : i + RANKS] for i in range(0, len(packs), RANKS)], 0


def tokens(pack: tuple[Item, ...]) -> int:
    return sum(item.length for item in pack)


def tokens_with_padding(batch: tuple[Item, ...]) -> int:
    return len(batch) * max(item.length for item in batch)


def row(steps: Steps, pad: bool, tower: float, decoder: float) -> tuple[float, float, float]:
    """Useful tokens in per cent, load, and time of the slowest rank for each useful token."""
    computed = tokens_with_padding if pad else tokens
    summary = Summary.of(steps, LENGTH)
    total = sum(tokens(pack) for step in steps for pack in step)
    room = sum(computed(pack) for step in steps for pack in step)
    slowest = sum(
        max(tower * sum(i.visual for i in pack) + decoder * computed(pack) for pack in step)
        for step in steps
    )
    useful = total / room if pad else summary.useful
    return 100 * useful, summary.imbalance, slowest / total


def seconds(forward: Callable[[], torch.Tensor], repeat: int = 3) -> float:
    """Of a forward and a backward pass: the median, after a warm-up."""
    times = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        forward().sum().backward()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def measured() -> tuple[float, float]:
    """Seconds that a visual token costs in the tower, and any token in decoder and head."""
    for config in (TOWER, DECODER):
        config._attn_implementation = "sdpa"
    layer, head = Aimv2EncoderLayer(TOWER), nn.Linear(1536, VOCABULARY // 10, bias=False)
    patches = torch.randn(1, PATCHES * TILE, 1536, requires_grad=True)
    tower = TOWER_LAYERS * seconds(lambda: layer(patches, None)) / TILE
    decoder, states = Qwen2Model(DECODER), torch.randn(1, MEASURED, 1536, requires_grad=True)
    block = seconds(lambda: decoder(inputs_embeds=states, use_cache=False).last_hidden_state)
    return tower, (DECODER_LAYERS * block + 10 * seconds(lambda: head(states))) / MEASURED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--tower", type=float)
    parser.add_argument("--decoder", type=float)
    options = parser.parse_args()
    tower, decoder = options.tower, options.decoder
    if tower is None or decoder is None:
        tower, decoder = measured()
    print(f"A visual token costs {tower:.3g} s in the tower; a token {decoder:.3g} s after it.\n")
    ways = {"packer": packed, "by length": by_length, "first fit": first_fit, "padded": padded}
    print("| stream | way | useful tokens | load | step | longest wait, steps | samples/s |")
    print("|---|---|---|---|---|---|---|")
    for make in (pictures, mixed):
        stream = make(options.samples, np.random.default_rng(0))
        base = 0.0
        for name, way in ways.items():
            begin = time.process_time()
            steps, oldest = way(stream)
            rate = len(stream) / (time.process_time() - begin)
            useful, load, step = row(steps, way is padded, tower, decoder)
            base = base or step
            print(
                f"| {make.__name__} | {name} | {useful:.1f} % | {load:.3f} | {step / base:.2f} "
                f"| {oldest} | {rate:,.0f} |"
            )


if __name__ == "__main__":
    main()
