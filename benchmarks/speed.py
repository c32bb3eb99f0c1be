"""Speed beside a peer: what our own code changes over transformers' parts it stands on.

    python benchmarks/speed.py [--repeat 5]

Every line is the median ratio of the peer's time over ours, both timed in turn in this process, so
that a drift of the machine's speed falls on both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

import valley
from valley.geometry import NativeResolution
from valley.model.towers import NativeResolutionTower
from valley.pixels import pack_patches
from valley.types import Budget, Sampling

LIMITS = Budget(min_pixels=3136, max_pixels=784 * 1280)


def ratio(
    ours: Callable[[], object], peer: Callable[[], object], repeat: int
) -> tuple[float, float]:
    """Median of peer/ours, and the median of our seconds, after one warm-up of each."""
    pairs = in_turn(ours, peer, repeat)
    return statistics.median(b / a for a, b in pairs), statistics.median(a for a, _ in pairs)


def in_turn(
    ours: Callable[[], object], peer: Callable[[], object], repeat: int
) -> list[tuple[float, float]]:
    """Seconds of both, `repeat` times after a warm-up; who goes first changes every time."""
    ours(), peer()
    pairs = []
    for turn in range(repeat):
        times = {}
        for work in (ours, peer) if turn % 2 == 0 else (peer, ours):
            started = time.perf_counter()
            work()
            times[work] = time.perf_counter() - started
        pairs.append((times[ours], times[peer]))
    return pairs


def pixels(repeat: int) -> tuple[str, float, float]:
    """A 1280x960 picture to patches; peer: transformers' image processor."""
    noise = np.random.default_rng(0).integers(0, 256, (960, 1280, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    policy = NativeResolution("vision")
    size = {"shortest_edge": LIMITS.min_pixels, "longest_edge": LIMITS.max_pixels}
    theirs = Qwen2VLImageProcessorPil(size=size)

    def ours() -> object:
        return pack_patches(picture, policy.plan(picture.size, LIMITS).views[0])

    found = ratio(ours, lambda: theirs(picture, return_tensors="np"), repeat)
    return "picture to patches, 1280x960", *found


@torch.inference_mode()
def tower(repeat: int, dtype: torch.dtype) -> tuple[str, float, float]:
    """Two blocks of the real width on 1,564 patches; peer: the same weights in transformers'
    class, whose patch embedding is a convolution."""
    config = Qwen2VLVisionConfig(depth=2)
    torch.manual_seed(0)
    peer = Qwen2VisionTransformerPretrainedModel._from_config(config).eval().to(dtype)
    own = NativeResolutionTower._from_config(config).eval().to(dtype)
    own.load_state_dict(peer.state_dict(), strict=False)
    patches = torch.randn(1564, 1176, dtype=dtype)
    grid = torch.tensor([[1, 34, 46]])
    name = f"tower, 2 blocks of 1280, {str(dtype).removeprefix('torch.')}"
    return name, *ratio(lambda: own(patches, grid), lambda: peer(patches, grid), repeat)


def batching(repeat: int) -> tuple[str, float, float]:
    """Eight questions to nano as one batch; peer: one after the other."""
    chat = valley.load("nano")
    pictures = [Image.new("RGB", (224, 168), (30 * i, 90, 200)) for i in range(8)]
    requests = [chat.request("What color is the picture?", picture) for picture in pictures]
    sampling = Sampling(max_new_tokens=12)

    def peer() -> None:
        for request in requests:
            next(chat.engine.run([request], sampling))

    found = ratio(lambda: list(chat.engine.run(requests, sampling)), peer, repeat)
    return "eight questions to nano, as a batch", *found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print("| what | peer's time / ours | ours, seconds |\n|---|---|---|")
    rows = (
        lambda: pixels(repeat),
        lambda: tower(repeat, torch.float32),
        lambda: tower(repeat, torch.bfloat16),
        lambda: batching(repeat),
    )
    for row in rows:
        name, times, seconds = row()
        print(f"| {name} | {times:.2f} | {seconds:.3f} |", flush=True)


if __name__ == "__main__":
    main()
