"""Peak host memory of loading a sharded checkpoint, beside reading all of it at once.

    python benchmarks/load_memory.py [--gigabytes 1]

Writes a checkpoint of random weights in the published layout, loads it in two fresh processes
(ours, and the state dict of every shard before a module is filled) and prints the peak of
anonymous memory over the size of the loaded weights, for weights kept in bfloat16 and for weights
widened to float32. File pages that the kernel can drop do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText

import valley.auto  # noqa: F401
from valley.model.config import Valley2_5Config
from valley.model.files import weight_files
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.model.names import published_name

SHARDS = 4


def config(gigabytes: float) -> dict:
    """A published config.json whose weights take about `gigabytes` in bfloat16."""
    hidden, layers = 1024, 8
    width = max(1024, int((gigabytes * 2**30 / 2 - 60e6) / (layers * 3 * hidden)) // 64 * 64)
    return {
        "architectures": ["ValleyQwen3ForCausalLM"],
        "model_type": "valley",
        "torch_dtype": "bfloat16",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": width,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 8192,
        "rope_theta": 1e6,
        "tie_word_embeddings": False,
    }


def write(directory: Path, gigabytes: float) -> int:
    """The checkpoint; returns the bytes of its weights."""
    published = config(gigabytes)
    shapes = {
        "model.qwen2vl_vision_tower.patch_embed.proj.weight": (320, 3, 2, 14, 14),
        "model.qwen2vl_vision_tower.blocks.1.mlp.fc1.weight": (1280, 320),
        "model.qwen2vl_vision_tower.merger.mlp.0.weight": (2048, 1280),
    }
    family = Valley2_5Config.family
    native = family.layout.to_native(published, {**shapes, "lm_head.weight": (8192, 1024)})
    with torch.device("meta"):
        model = Valley2_5ForConditionalGeneration(Valley2_5Config(**native))
    expected = model.state_dict()
    names = sorted(expected)
    index, total = {}, 0
    for shard in range(SHARDS):
        part = names[shard::SHARDS]
        tensors = {
            published_name(name, family): torch.randn(expected[name].shape).to(torch.bfloat16)
            for name in part
        }
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        save_file(tensors, directory / file, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, file)
        total += sum(2 * math.prod(tensor.shape) for tensor in tensors.values())
    content = {"metadata": {"total_size": total}, "weight_map": index}
    (directory / "model.safetensors.index.json").write_text(json.dumps(content))
    (directory / "config.json").write_text(json.dumps(published))
    return total


class Peak:
    """Highest anonymous memory of this process, in bytes, sampled every few milliseconds."""

    def __enter__(self) -> Peak:
        self.bytes, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.is_set():
            status = Path("/proc/self/status").read_text()
            anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            self.bytes = max(self.bytes, int(anonymous.split()[1]) * 1024)
            time.sleep(0.005)

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


def ours(directory: Path, dtype: torch.dtype) -> None:
    AutoModelForImageTextToText.from_pretrained(directory, dtype=dtype)


def whole(directory: Path, dtype: torch.dtype) -> None:
    """The peer: every shard in memory, then a module in float32, filled and cast."""
    state = {name: t for file in weight_files(directory) for name, t in load_file(file).items()}
    config = AutoConfig.from_pretrained(directory)
    model = Valley2_5ForConditionalGeneration(config)
    family = config.family
    own = {published_name(name, family): name for name in model.state_dict()}
    model.load_state_dict({own[name]: tensor.float() for name, tensor in state.items()})
    model.to(dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "DIR", "DTYPE"))
    arguments = parser.parse_args()
    if arguments.measure:
        way, directory, dtype = arguments.measure
        base = Peak()
        with base:
            time.sleep(0.02)
        with Peak() as peak:
            {"ours": ours, "whole": whole}[way](Path(directory), getattr(torch, dtype))
        print(peak.bytes - base.bytes)
        return
    with tempfile.TemporaryDirectory() as folder:
        total = write(Path(folder), arguments.gigabytes)
        print(f"weights {total / 2**30:.2f} GiB in bfloat16, {SHARDS} shards")
        for dtype, factor in (("bfloat16", 1), ("float32", 2)):
            for way in ("ours", "whole"):
                command = [sys.executable, __file__, "--measure", way, folder, dtype]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                peak = int(run.stdout.split()[-1]) / (total * factor)
                print(f"{dtype:8} {way:6} peak {peak:.2f} x the loaded weights")


if __name__ == "__main__":
    main()
