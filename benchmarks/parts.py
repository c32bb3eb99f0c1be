"""Cost of each part of a real-size Valley2 on this machine, beside what it has to compute and move.

    python benchmarks/parts.py [--repeat 3]

A model of 8.9 billion parameters does not fit here, its parts do: one layer of each tower, the
connector, one decoder layer, the language head, at their real width with random weights, built and
dropped one after another. FLOPs count multiplications and additions of the matrix products and of
attention. Bytes count the weights once and each part's inputs and outputs. The peaks are those of
one large matrix product and one large copy in the same run. A part that would take too long at its
peak is named and not run: CPUs without bfloat16 instructions are a hundred times slower in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.siglip.configuration_siglip import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from valley.model.connectors import VisualVocabulary
from valley.model.towers import MergingTower

#: Valley-Eagle-7B; tokens of one tile, of a picture within the default budget, of a prompt.
SIGLIP = SiglipVisionConfig(
    hidden_size=1152, intermediate_size=4304, num_attention_heads=16, patch_size=14, image_size=384
)
NATIVE = Qwen2VLVisionConfig(depth=1, embed_dim=1280, num_heads=16, hidden_size=3584)
DECODER = Qwen2Config(
    vocab_size=8,  # the embedding is a look-up; the head is measured by itself
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=1,
    num_attention_heads=28,
    num_key_value_heads=4,
)
VISUAL_VOCABULARY, VOCABULARY = 32_000, 151_679
TILE_PATCHES, GRID, PROMPT = 729, (34, 46), 1024
#: Seconds at the peak above which a part is not run.
LONGEST = 12.0


@dataclass(frozen=True)
class Part:
    """One part: how to run it, its FLOPs, the bytes it moves, how often it comes in the model."""

    name: str
    run: Callable[[], object]
    flops: float
    size: int
    layers: str


def linear_flops(module: nn.Module, rows: int) -> float:
    """FLOPs of the linear layers of a module, each applied to `rows` vectors."""
    layers = [item for item in module.modules() if isinstance(item, nn.Linear)]
    return sum(2.0 * rows * layer.in_features * layer.out_features for layer in layers)


def weight_bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def moved(module: nn.Module, *tensors: Tensor) -> int:
    """Bytes of the weights and of inputs and outputs."""
    return weight_bytes(module) + sum(t.numel() * t.element_size() for t in tensors)


def build(make: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """A module of random weights in a dtype, made in that dtype so that memory stays small."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return make().eval()
    finally:
        torch.set_default_dtype(before)


def siglip(dtype: torch.dtype) -> Part:
    SIGLIP._attn_implementation = "sdpa"
    layer = build(lambda: SiglipEncoderLayer(SIGLIP), dtype)
    hidden = torch.randn(1, TILE_PATCHES, SIGLIP.hidden_size, dtype=dtype)
    flops = linear_flops(layer, TILE_PATCHES) + 4.0 * TILE_PATCHES**2 * SIGLIP.hidden_size
    name = f"SigLIP layer, one tile ({TILE_PATCHES} patches)"
    return Part(name, lambda: layer(hidden, None), flops, moved(layer, hidden, hidden), "27 a tile")


def native(dtype: torch.dtype) -> Iterator[Part]:
    tower = build(lambda: MergingTower._from_config(NATIVE, dtype=dtype), dtype)
    patches = GRID[0] * GRID[1]
    block, merger = tower.blocks[0], tower.merger
    positions = torch.randn(patches, NATIVE.embed_dim // NATIVE.num_heads)
    angles = (positions.cos(), positions.sin())
    bounds = torch.tensor([0, patches], dtype=torch.int32)
    hidden = torch.randn(patches, NATIVE.embed_dim, dtype=dtype)
    flops = linear_flops(block, patches) + 4.0 * patches**2 * NATIVE.embed_dim
    yield Part(
        f"Qwen2-VL tower layer ({patches} patches)",
        lambda: block(hidden, cu_seqlens=bounds, position_embeddings=angles),
        flops,
        moved(block, hidden, hidden),
        "32 a picture",
    )
    merged = torch.empty(patches // 4, NATIVE.hidden_size, dtype=dtype)
    yield Part(
        f"its merger ({patches} patches to {patches // 4} tokens)",
        lambda: merger(hidden),
        linear_flops(merger, patches // 4),
        moved(merger, hidden, merged),
        "1 a picture",
    )


def connector(dtype: torch.dtype) -> Part:
    width, out = SIGLIP.hidden_size, DECODER.hidden_size
    module = build(lambda: VisualVocabulary(width, VISUAL_VOCABULARY, out), dtype)
    features = torch.randn(1, TILE_PATCHES, width, dtype=dtype)
    tokens = torch.empty(1, 196, out, dtype=dtype)
    logits = torch.empty(196, VISUAL_VOCABULARY, dtype=dtype)
    products = 9 * width * width + width * VISUAL_VOCABULARY + VISUAL_VOCABULARY * out
    return Part(
        f"connector with its {VISUAL_VOCABULARY:,}-way softmax, one tile (196 tokens)",
        lambda: module(features),
        2.0 * 196 * products,
        moved(module, features, logits, logits, tokens),
        "1 a tile",
    )


def decoder(dtype: torch.dtype) -> Iterator[Part]:
    model = build(lambda: Qwen2Model._from_config(DECODER, dtype=dtype), dtype)
    layer = model.layers[0]
    width, heads = DECODER.hidden_size, DECODER.num_attention_heads
    keys = 2 * DECODER.num_key_value_heads * (width // heads)
    prompt = torch.randn(1, PROMPT, width, dtype=dtype)
    yield Part(
        f"decoder layer, prefill of {PROMPT:,} tokens",
        lambda: model(inputs_embeds=prompt, use_cache=False),
        linear_flops(layer, PROMPT) + 2.0 * PROMPT**2 * width,  # causal: half of the square
        moved(layer, prompt, prompt),
        "28 a prompt",
    )
    cache = DynamicCache(config=DECODER)
    model(inputs_embeds=prompt, past_key_values=cache)
    token = prompt[:, :1]

    def step() -> None:
        model(inputs_embeds=token, past_key_values=cache)
        cache.crop(-1)

    cached = torch.empty(PROMPT, keys, dtype=dtype)
    yield Part(
        f"decoder layer, one token after {PROMPT:,}",
        step,
        linear_flops(layer, 1) + 4.0 * PROMPT * width,
        moved(layer, token, token, cached),
        "28 a token",
    )


def head(dtype: torch.dtype) -> Part:
    module = build(lambda: nn.Linear(DECODER.hidden_size, VOCABULARY, bias=False), dtype)
    hidden = torch.randn(1, DECODER.hidden_size, dtype=dtype)
    logits = torch.empty(1, VOCABULARY, dtype=dtype)
    name = f"language head, one token ({VOCABULARY:,} words)"
    size = moved(module, hidden, logits)
    return Part(name, lambda: module(hidden), linear_flops(module, 1), size, "1 a token")


def parts(dtype: torch.dtype) -> Iterator[Part]:
    """One part in memory at a time."""
    yield siglip(dtype)
    yield from native(dtype)
    yield connector(dtype)
    yield from decoder(dtype)
    yield head(dtype)


def seconds(run: Callable[[], object], repeat: int) -> float:
    """Median time after one warm-up."""
    run()
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peaks(dtype: torch.dtype, repeat: int) -> tuple[float, float]:
    """FLOP/s of a large matrix product and byte/s of a large copy, read and write counted."""
    product, length = 0.0, 2**26
    for side in (512, 2048):
        if side == 512 or product > 1e10:
            left, right = torch.randn(2, side, side, dtype=dtype)
            product = 2.0 * side**3 / seconds(partial(torch.mm, left, right), repeat)
    source, target = torch.ones(length, dtype=dtype), torch.ones(length, dtype=dtype)
    size = 2 * length * source.element_size()
    return product, size / seconds(lambda: target.copy_(source), repeat)


def of_peak(share: float) -> str:
    """A dash where the peak is none: a CPU without bfloat16 multiplies matrices by vectors well,
    by matrices badly."""
    return f"{share:.0%}" if share < 1.5 else "-"


def rows(dtype: torch.dtype, repeat: int) -> Iterator[str]:
    name = str(dtype).removeprefix("torch.")
    flops, bandwidth = peaks(dtype, repeat)
    yield f"| *{name}: one large product, one large copy* | | | | {flops / 1e9:.0f} | | " + (
        f"{bandwidth / 1e9:.1f} | | |"
    )
    for part in parts(dtype):
        if (least := part.flops / flops) > LONGEST:
            yield f"| {part.name}, {name} | over {least * 1e3:.0f}: not run | " + (
                f"{part.flops / 1e9:.2f} | {part.size / 2**20:.0f} | | | | | {part.layers} |"
            )
            continue
        took = seconds(part.run, repeat)
        yield (
            f"| {part.name}, {name} | {took * 1e3:.1f} | {part.flops / 1e9:.2f} "
            f"| {part.size / 2**20:.0f} | {part.flops / took / 1e9:.0f} "
            f"| {of_peak(part.flops / took / flops)} | {part.size / took / 1e9:.1f} "
            f"| {of_peak(part.size / took / bandwidth)} | {part.layers} |"
        )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    torch.manual_seed(0)
    print("| part | ms | GFLOP | MiB | GFLOP/s | of peak | GB/s | of peak | times |")
    print("|---|---|---|---|---|---|---|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        for row in rows(dtype, repeat):
            print(row, flush=True)


if __name__ == "__main__":
    main()
