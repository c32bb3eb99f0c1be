"""SAIL-VL-2B at its real size: loaded from disk, asked about one tile, its parts beside a peer's.

    python benchmarks/real_size.py [--layers N] [--repeat 9]

Writes a published checkpoint of random bfloat16 weights (4.2 GB, or with N layers in tower and
decoder less) shard by shard into a temporary folder. A fresh process loads it with `valley.load`
and streams an answer about a picture of one tile; its peak memory, mapped files included, is
printed. Vision, prefill and decoding are then timed in that process beside transformers' own
InternVL class over the very same tensors, in turn, `--repeat` times after a warm-up: the seconds
are the best, the ratio is the median of the pairs, with the middle half of them as its spread, and
the operators of torch that each of them calls are a measure without noise. FLOPs
count matrix products and attention, bytes count weights and the cache once; the limit of a part is
the longer of both at the rates of one large product and one large copy. On a CPU without bfloat16
instructions the layers of both models are widened as `valley.engine.widening` does it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from parts import linear_flops, peaks, weight_bytes
from PIL import Image
from safetensors.torch import save_file
from speed import in_turn
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.cache_utils import DynamicCache

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import valley  # noqa: E402
from golden import folders  # noqa: E402
from model import sail_configs as sizes  # noqa: E402
from model.peers import internvl_peer  # noqa: E402
from valley.engine.widening import multiplies_bfloat16, widen  # noqa: E402

SHARD_BYTES, LIMIT_GIB = 512 * 2**20, 6
TOKENIZER = "tokenizers/sail_vl"
QUESTION, NEW_TOKENS = "Please describe the image shortly.", 4
DECODED = 16  # tokens timed together: a single one is too short to compare
BUDGET = valley.Budget(max_tiles=1)


def write(folder: Path, layers: int | None) -> None:
    """The published checkpoint: config, tokenizer, shards of random weights and their index."""
    vision, llm = dict(sizes.INTERNVIT_300M), dict(sizes.QWEN2_5_1B)
    for part in (vision, llm):
        part["num_hidden_layers"] = layers or part["num_hidden_layers"]
    shapes = sizes.table(
        sizes.KEYS["full"]["InternViT-300M-448px"]["patterns"], vision["num_hidden_layers"]
    )
    shapes |= sizes.connector_table(4 * vision["hidden_size"], llm["hidden_size"])
    shapes |= sizes.decoder_table(llm)
    config = sizes.published("internvit_8b", vision, llm)
    (folder / "config.json").write_text(json.dumps(config))
    for file in (folders.SAIL / TOKENIZER).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    folders.write_vocabulary(folder)
    index: dict[str, str] = {}
    for number, names in enumerate(shards(shapes)):
        file = f"model-{number:05d}.safetensors"
        tensors = {name: random(name, shapes[name]) for name in names}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    content = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def shards(shapes: sizes.Shapes) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, shape in shapes.items():
        names.append(name)
        size += 2 * math.prod(shape)
        if size > SHARD_BYTES:
            yield names
            names, size = [], 0
    if names:
        yield names


@cache
def numbers() -> Tensor:
    """Random ones, repeated by tensors that need more; an odd number, so that rows differ."""
    return torch.randn(2**23 + 1).mul(0.02).bfloat16()


def random(name: str, shape: tuple[int, ...]) -> Tensor:
    """Weights with which activations keep their size: norms and layer scales begin at one."""
    if len(shape) == 1:
        return torch.full(shape, float(not name.endswith("bias")), dtype=torch.bfloat16)
    count = math.prod(shape)
    return numbers().repeat(1 + count // len(numbers()))[:count].view(shape).clone()


def answer(folder: Path) -> Any:
    """Load, ask about one tile, stream; prints the seconds and the peak. The chat."""
    started = time.perf_counter()
    chat = valley.load(folder, device="cpu")
    loaded, loading = time.perf_counter(), peak()
    pieces = list(timed(chat.stream(QUESTION, tile(), budget=BUDGET, max_new_tokens=NEW_TOKENS)))
    end, usage = pieces[-1][1], pieces[-1][0].usage
    kept = "kept" if peak() < LIMIT_GIB else "BROKEN"
    print("| what | seconds | peak memory of the process, GiB |\n|---|---|---|")
    print(f"| loading from disk | {loaded - started:.1f} | {loading:.2f} |")
    print(
        f"| first piece of a reply about one tile, {usage.prompt_tokens} tokens "
        f"| {pieces[0][1] - loaded:.1f} | |"
    )
    print(f"| whole reply of {usage.completion_tokens} tokens | {end - loaded:.1f} | |")
    print(
        f"| in all | {end - started:.1f} | {peak():.2f}: the limit of {LIMIT_GIB} is {kept} |\n",
        flush=True,
    )
    return chat


def peak() -> float:
    """Highest resident memory of this process so far, mapped files included, in GiB."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def timed(stream: Any) -> Iterator[tuple[Any, float]]:
    """What a stream gives and when, its reply last."""
    while True:
        try:
            yield next(stream), time.perf_counter()
        except StopIteration as end:
            yield end.value, time.perf_counter()
            return


def tile() -> Image.Image:
    return Image.effect_mandelbrot((448, 448), (-2, -1, 1, 1), 60).convert("RGB")


@dataclass
class Side:
    """A model and what it has made of the request so far: `look` gives the features of the tile."""

    model: Any
    look: Callable[[], Any]
    features: Any = None
    embeds: Any = None
    cache: Any = None
    logits: Any = None

    def see(self) -> None:
        self.features = self.look().pooler_output

    def prefill(self) -> None:
        self.cache = DynamicCache(config=self.model.config.text_config)
        given = {"inputs_embeds": self.embeds, "past_key_values": self.cache}
        self.logits = self.model(**given, logits_to_keep=1).logits

    def decode(self) -> None:
        for _ in range(DECODED):
            self.model(inputs_embeds=self.embeds[:, -1:], past_key_values=self.cache)
        self.cache.crop(-DECODED)


def parts(chat: Any) -> Iterator[tuple[str, Callable[[], None], Callable[[], None], float, float]]:
    """Name, ours, the peer's, FLOPs and bytes of each part, to be run in their order."""
    model = chat.engine.model
    peer_model = internvl_peer(model)
    if not multiplies_bfloat16():
        widen(peer_model)
    encoded = chat.processor.encode(chat.request(QUESTION, tile(), budget=BUDGET))
    inputs = chat.processor.collate([encoded])
    pixels = inputs["pixel_values"].to(model.dtype)
    ours = Side(model, lambda: model.model.get_image_features(pixels))
    layer = {"vision_feature_layer": -1, "vision_feature_select_strategy": "default"}
    peer = Side(peer_model, lambda: peer_model.model.get_image_features(pixels, **layer))

    tower, connector = model.model.vision_tower, model.model.vision_connector
    patches = tower.embeddings.position_embeddings.shape[1]
    attended = 4.0 * patches**2 * tower.config.hidden_size * tower.config.num_hidden_layers
    flops = linear_flops(tower, patches) + attended + linear_flops(connector, patches // 4)
    flops += 2.0 * patches * tower.embeddings.patch_embeddings.projection.weight.numel()
    size = weight_bytes(tower) + weight_bytes(connector)
    yield f"vision, one tile of {patches} patches", ours.see, peer.see, flops, size

    ours.embeds = model.model.embed(inputs["input_ids"], ours.features)
    peer.embeds = model.model.embed(inputs["input_ids"], list(peer.features))
    decoder, head, text = model.model.language_model, model.lm_head, model.config.text_config
    length = ours.embeds.shape[1]
    attended = 2.0 * text.hidden_size * text.num_hidden_layers * length  # causal: half
    flops = linear_flops(decoder, length) + attended * length + linear_flops(head, 1)
    size = weight_bytes(decoder.layers) + weight_bytes(head)
    yield f"prefill of {length} tokens", ours.prefill, peer.prefill, flops, size
    difference = (ours.logits - peer.logits).abs().max() / ours.logits.abs().max()
    assert difference < 0.02, f"logits differ by {difference:.1%}: the models are not the same"

    flops = DECODED * (linear_flops(decoder, 1) + 2 * attended + linear_flops(head, 1))
    cached = sum(t.numel() * t.element_size() for t in (ours.cache.layers[0].keys,) * 2)
    size = DECODED * (size + cached * text.num_hidden_layers)
    yield f"{DECODED} tokens after {length}", ours.decode, peer.decode, flops, size


class Operators(TorchDispatchMode):
    """Counts the operators of torch that are called within it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operators(work: Callable[[], None]) -> int:
    with Operators() as called:
        work()
    return called.count


def row(ours: Callable[[], None], peer: Callable[[], None], repeat: int) -> tuple[float, str, str]:
    """Best seconds of ours; the peer's time over ours in words; how many operators each calls."""
    pairs = in_turn(ours, peer, repeat)
    low, middle, high = statistics.quantiles((theirs / own for own, theirs in pairs), n=4)
    ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
    return min(own for own, _ in pairs), ratio, f"{operators(ours)} / {operators(peer)}"


@torch.inference_mode()
def measure(folder: Path, repeat: int) -> None:
    chat = answer(folder)
    dtype = torch.bfloat16 if multiplies_bfloat16() else torch.float32
    before = peaks(dtype, 3)
    rows = [(part, *row(*part[1:3], repeat)) for part in parts(chat)]
    product, copy = map(max, before, peaks(dtype, 3))
    print(
        "| part | ours, s | peer's time / ours | operators, ours / peer's "
        "| GFLOP | GiB | limit, s | ours / limit |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for (name, _, _, flops, size), seconds, ratio, calls in rows:
        limit = max(flops / product, size / copy)
        print(
            f"| {name} | {seconds:.2f} | {ratio} | {calls} | {flops / 1e9:.1f} "
            f"| {size / 2**30:.2f} | {limit:.2f} | {seconds / limit:.1f} |"
        )
    arithmetic = str(dtype).removeprefix("torch.")
    print(
        f"\nProducts in {arithmetic}; one large product: {product / 1e9:.0f} GFLOP/s, one large "
        f"copy: {copy / 1e9:.1f} GB/s; {torch.get_num_threads()} threads."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--layers", type=int, help="fewer layers in tower and decoder")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.repeat)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), arguments.layers)
        command = [sys.executable, __file__, "--measure", folder, "--repeat", arguments.repeat]
        subprocess.run(list(map(str, command)), check=True)


if __name__ == "__main__":
    main()
