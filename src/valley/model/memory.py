"""How much memory a checkpoint needs, known before anything is loaded. Torch-free."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.model.files import DTYPE_BYTES, read_json, tensor_headers

#: Bytes of a parameter by the precision it is loaded in.
PRECISIONS = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int4": 0.5}
#: What loading needs on top of the weights: buffers of the shard being read and the interpreter.
OVERHEAD = 1.2


@dataclass(frozen=True)
class Memory:
    """`parameters` of a checkpoint and the bytes they take as stored."""

    parameters: int
    stored_bytes: int

    def needed(self, precision: str) -> int:
        """Bytes of the weights in a precision."""
        return int(self.parameters * PRECISIONS[precision])

    def table(self) -> str:
        """One line: bytes per precision."""
        return ", ".join(f"{name} {gibibytes(self.needed(name))}" for name in PRECISIONS)


def gibibytes(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"


def measure(directory: Path) -> Memory:
    headers = tensor_headers(directory)
    sizes = {name: math.prod(entry["shape"]) for name, entry in headers.items()}
    stored = sum(sizes[name] * DTYPE_BYTES.get(headers[name]["dtype"], 1) for name in sizes)
    return Memory(sum(sizes.values()), stored)


def available_memory() -> int | None:
    """Bytes that this process may still take from the host, None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            lines = dict(line.split(":") for line in stream)
        available = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
            return None
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(available, _cgroup_limit() or available)


def _cgroup_limit() -> int | None:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def check_memory(directory: Path, device: str | None, dtype: Any) -> None:
    """Refuse a checkpoint that cannot fit on the CPU, naming what each precision needs.

    Only the host is looked at: accelerators report their own shortage, and "auto" offloads.
    """
    if device not in (None, "cpu"):
        return
    config = read_json(directory / "config.json")
    name = str(dtype or config.get("dtype") or config.get("torch_dtype") or "float32")
    precision = name.removeprefix("torch.")
    memory, free = measure(directory), available_memory()
    needed = int(memory.needed(precision if precision in PRECISIONS else "float32") * OVERHEAD)
    if free is not None and needed > free:
        raise ValueError(
            f"{directory.name} needs {gibibytes(needed)} in {precision}, {gibibytes(free)} are "
            f"free; its weights take {memory.table()}: choose a smaller dtype or another device"
        )
