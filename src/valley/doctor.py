"""`valley doctor`: what will run on this machine, and why not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from rich.table import Table

from valley.counting import render_table
from valley.engine.placing import default_device
from valley.model.files import NANO
from valley.model.memory import available_memory, gibibytes

State = Literal["ok", "absent", "slow", "broken"]
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "pillow", "av")
#: Optional modules and what they are for.
OPTIONAL = {
    "flash_attn": "faster attention on CUDA: --attention flash_attention_2",
    "peft": "adapters",
    "vllm": "heavy traffic",
}


@dataclass(frozen=True)
class Check:
    name: str
    state: State
    detail: str


def checks() -> list[Check]:
    """Every check, cheapest first; none touches the network."""
    return [*_packages(), _torchvision(), *_devices(), *_resources(), *_optional(), _nano()]


def table(found: list[Check]) -> str:
    grid = Table(box=None, pad_edge=False)
    for column in ("", "state", "detail"):
        grid.add_column(column, overflow="fold")
    for check in found:
        grid.add_row(check.name, check.state, check.detail)
    return render_table(grid)


def _packages() -> Iterator[Check]:
    yield Check(
        "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    for name in PACKAGES:
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "broken", "not installed: pip install valley-vlm")


def _torchvision() -> Check:
    """A torchvision built for another torch breaks transformers' imports: say so at once."""
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", "absent", "not needed")
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        return Check(
            "torchvision", "broken", f"{reason}: pip uninstall torchvision (it is not needed)"
        )
    return Check("torchvision", "ok", "present, not used")


def _devices() -> Iterator[Check]:
    yield Check("device", "ok", f"{default_device()} is what models load on by default")
    capability = torch.backends.cpu.get_cpu_capability()
    yield Check("cpu", "ok", f"{torch.get_num_threads()} threads, {capability}")
    if torch.cuda.is_available():
        yield Check("cuda", "ok", torch.cuda.get_device_name())
    else:
        yield Check(
            "cuda",
            "absent",
            "models run on the CPU",
        )
    mps = torch.backends.mps.is_available()
    yield Check("mps", "ok" if mps else "absent", "Apple GPU" if mps else "not an Apple GPU")


def _resources() -> Iterator[Check]:
    free = available_memory()
    yield Check("memory", "ok", f"{gibibytes(free)} free" if free is not None else "unknown")
    yield Check("disk", "ok", f"{gibibytes(shutil.disk_usage(os.getcwd()).free)} free here")
    if hasattr(os, "getloadavg"):
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        detail = f"load {load:.1f} on {cores} cores"
        busy = load > cores
        yield Check(
            "load", "slow" if busy else "ok", detail + (": replies will be slow" if busy else "")
        )


def _optional() -> Iterator[Check]:
    for name, purpose in OPTIONAL.items():
        present = importlib.util.find_spec(name) is not None
        yield Check(name, "ok" if present else "absent", purpose)


def _nano() -> Check:
    if not (NANO / "model.safetensors").is_file():
        return Check("nano", "broken", "the embedded weights are missing: install again")
    return Check("nano", "ok", "the embedded model answers offline")
