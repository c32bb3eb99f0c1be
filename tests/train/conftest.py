"""Data and recipes of the training tests: few small pictures, float32, a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image as PILImage

from valley.data.records import write_records
from valley.train.recipe import Recipe, read_recipe
from valley.types import Image, Message, Sample

COLOURS = {"red": (210, 30, 30), "green": (30, 150, 60), "blue": (40, 60, 210)}
FAMILIES = ("valley2_5", "valley2", "sail_vl")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def checkpoint_of(
    tiny_valley2_5: Path, tiny_valley2: Path, sail: Callable[[str], Path]
) -> Callable[[str], Path]:
    """A tiny checkpoint of a line by its name."""
    valley = {"valley2_5": tiny_valley2_5, "valley2": tiny_valley2}
    return lambda name: valley[name] if name in valley else sail("aimv2_8b")


def sample(number: int, folder: Path, pictures: bool = True) -> Sample:
    """A question about the colour of a picture; pairs and rewards are in `meta`."""
    names = list(COLOURS)
    name, other = names[number % 3], names[(number + 1) % 3]
    path = folder / f"{number}.png"
    PILImage.new("RGB", (40 + 9 * (number % 5), 60), COLOURS[name]).save(path)
    media = [Image(str(path))] if pictures else []
    return Sample(
        (
            Message.of("user", *media, "What color is it?"),
            Message.of("assistant", f"It is {name}." * (1 + number % 3)),
        ),
        str(number),
        {"rejected": f"It is {other}.", "answer": name, "domain": "ocr"},
    )


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Twelve samples in a file of records."""
    path = tmp_path / "colours.jsonl"
    write_records(path, [sample(number, tmp_path) for number in range(12)])
    return path


@pytest.fixture
def recipe_of(tmp_path: Path, tiny_valley2_5: Path, colours: Path) -> Callable[..., Recipe]:
    """A recipe over the tiny Valley2.5 checkpoint; keywords change its keys."""

    def make(**changes: Any) -> Recipe:
        record: dict[str, Any] = {
            "stage": "sft",
            "model": str(tiny_valley2_5),
            "output": str(tmp_path / "run"),
            "data": [{"path": str(colours)}],
            "parts": {"connector": {"rate": 1e-3}, "decoder": {"rate": 1e-3}},
            "batch": {"samples": 4},
            "sequence": 200,
            "steps": 4,
            "every": 2,
            "precision": "float32",
            "ahead": 0,
            "report": [],
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(record | changes), encoding="utf-8")
        return read_recipe(file)

    return make
