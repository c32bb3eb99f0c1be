"""Prompts, labels and pictures of the published Valley2 processor call, input by input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import AutoProcessor

import valley.auto  # noqa: F401  registers the native classes
from golden.folders import DATA
from golden.vectors import asked_for

PROMPTS = json.loads((DATA / "valley2_vectors.json").read_text(encoding="utf-8"))["prompts"]


@pytest.fixture(scope="module")
def processor(tiny_valley2: Path) -> Any:
    return AutoProcessor.from_pretrained(tiny_valley2)


@pytest.mark.parametrize("name", PROMPTS)
def test_the_published_call(processor: Any, name: str) -> None:
    wanted = PROMPTS[name]
    messages, _, _ = asked_for(wanted["text"])
    pictures = [Image.new("RGB", tuple(size)) for size in wanted["image_sizes"][0]]
    asked = {"conversations": messages, "images": None if name == "text_only" else pictures}
    got = processor(asked, inference=not name.endswith(("train", "leak")))
    assert {
        "input_ids": got["input_ids"][0].tolist(),
        "labels": got["labels"][0].tolist(),
        "images": [[list(tiles.shape) for tiles in sample] for sample in got["images"]],
        "image_sizes": [[list(size) for size in sample] for sample in got["image_sizes"]],
        "pixel_values": list(got["pixel_values"].shape),
        "grid": got["image_grid_thw"].tolist(),
    } == {key: value for key, value in wanted.items() if key != "text"}
