"""Fixtures of all tests: the golden folder, its tiny checkpoint, and both loaded.

What takes time to write is written once a run, whatever the number of test processes.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from golden import folders

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# The same examples in every run, whatever else the machine does.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that ask for patience come first, then those with many tests: one that
    begins late would run alone."""
    patience: defaultdict[Path, float] = defaultdict(float)
    number: Counter[Path] = Counter()
    for item in items:
        marker = item.get_closest_marker("timeout")
        patience[item.path] = max(patience[item.path], marker.args[0] if marker else 0)
        number[item.path] += 1
    items.sort(key=lambda item: (-patience[item.path], -number[item.path]))


TINY = "valley2_5_tiny_a"
TINY_VALLEY2 = "valley2_tiny_a"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(target: Path, write: Callable[[Path], Any]) -> Path:
    """`target`, written by the first process that asks for it."""
    with FileLock(f"{target}.lock"):
        if not target.exists():
            unfinished = target.with_name(target.name + ".unfinished")
            write(unfinished)
            unfinished.rename(target)
    return target


@pytest.fixture(scope="session")
def golden_valley(shared_folder: Path) -> Path:
    """The golden folder of the Valley lines, with the tokenizer's vocabulary unpacked."""
    return once(
        shared_folder / "golden_valley", lambda path: folders.complete(folders.VALLEY, path)
    )


@pytest.fixture(scope="session")
def tiny_valley2_5(shared_folder: Path, golden_valley: Path) -> Path:
    """A tiny checkpoint in the published layout of Valley2.5. Copy it before changing it."""
    return once(
        shared_folder / TINY, lambda path: folders.write_checkpoint(golden_valley, TINY, path)
    )


@pytest.fixture(scope="session")
def tiny_valley2(shared_folder: Path, golden_valley: Path) -> Path:
    """A tiny checkpoint in the published layout of Valley2. Copy it before changing it."""
    return once(
        shared_folder / TINY_VALLEY2,
        lambda path: folders.write_checkpoint(golden_valley, TINY_VALLEY2, path),
    )


@pytest.fixture(scope="session")
def golden_sail(shared_folder: Path) -> Path:
    """The golden folder of the SAIL-VL lines, with the tokenizers' vocabulary unpacked."""
    return once(shared_folder / "golden_sail", lambda path: folders.complete(folders.SAIL, path))


@pytest.fixture(scope="session")
def sail(shared_folder: Path, golden_sail: Path) -> Callable[[str], Path]:
    """By its name, a tiny checkpoint in a published SAIL-VL layout. Copy it before changing it."""

    def checkpoint(name: str) -> Path:
        return once(
            shared_folder / name, lambda path: folders.write_checkpoint(golden_sail, name, path)
        )

    return checkpoint


@pytest.fixture(scope="session")
def tiny_processor(tiny_valley2_5: Path) -> Any:
    """Its processor. Tests that change a processor load their own."""
    from transformers import AutoProcessor

    import valley.auto  # noqa: F401

    return AutoProcessor.from_pretrained(tiny_valley2_5)


@pytest.fixture(scope="session")
def tiny_model(tiny_valley2_5: Path) -> Any:
    """Its model in float32. Tests that change a model load their own."""
    import torch
    from transformers import AutoModelForImageTextToText

    import valley.auto  # noqa: F401

    torch.set_num_threads(1)
    return AutoModelForImageTextToText.from_pretrained(tiny_valley2_5, dtype=torch.float32).eval()
