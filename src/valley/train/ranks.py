"""The processes of a training, as torchrun starts them: who this one is, and what they agree on.

Everything here is for all ranks to call at the same time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

#: How long a rank waits for the others before it gives up.
PATIENCE = timedelta(minutes=30)

Value = TypeVar("Value")


def size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def device() -> torch.device:
    """What this rank computes on."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the ranks can talk to one another: through NCCL on GPUs, else through gloo."""
    if size() == 1 or distributed.is_initialized():
        yield
        return
    if device().type == "cuda":
        torch.cuda.set_device(device())
    backend = "nccl" if device().type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    yield
    # Not where an error is on its way: the others may still wait for this rank.
    distributed.destroy_process_group()


def gathered(value: Value) -> list[Value]:
    """The value of every rank, in their order."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[Value | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def agreed(value: Value) -> Value:
    """The value of the first rank."""
    return gathered(value)[0]


def summed(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures added up over the ranks, each over those that have it."""
    total: Counter[str] = Counter()
    for some in gathered(dict(figures)):
        total.update(some)
    return dict(total)


@contextmanager
def as_one() -> Iterator[None]:
    """What fails inside on one rank fails on all, with the same error, so that none waits for it.

    No rank may wait for another inside once one of them can have failed.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as caught:
        error = caught
    if first := next((found for found in gathered(error) if found is not None), None):
        raise error or first
