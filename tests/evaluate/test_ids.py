"""A benchmark's question gives the ids that the published code gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as PILImage

from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.items import Item
from valley.evaluate.prompts import BY_FAMILY
from valley.processing import ValleyProcessor
from valley.types import Budget, Image

ROW = {"question": "Which <image 2> is it?", "A": "x", "B": "y", "hint": "Look."}


@pytest.fixture(scope="module", params=["tiny_valley2", "tiny_valley2_5", "aimv2_8b"])
def processor(request: pytest.FixtureRequest) -> ValleyProcessor:
    if request.param.startswith("tiny"):
        directory: Path = request.getfixturevalue(request.param)
    else:
        directory = request.getfixturevalue("sail")(request.param)
    loaded: ValleyProcessor = ValleyProcessor.from_pretrained(directory)
    return loaded


@pytest.mark.parametrize("name", ["MMMU_DEV_VAL", "DocVQA_VAL"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_ids_are_those_of_the_published_style(
    processor: ValleyProcessor, name: str, pictures: int
) -> None:
    family = processor.planner.family
    shown = tuple(Image(PILImage.new("RGB", (60 + 8 * i, 50))) for i in range(max(2, pictures)))
    question = ROW["question"] if name == "MMMU_DEV_VAL" else "Which?"
    if name != "MMMU_DEV_VAL":
        shown = shown[:pictures]
    item = Item("0", ROW | {"question": question})
    asked = BY_FAMILY[family.name].request(benchmark_of(name), item, shown)
    # The limits are compared elsewhere; these keep the pictures small.
    small = {"max_tiles": 1} if family.cuts_tiles else {"min_pixels": 784, "max_pixels": 7840}
    request = replace(asked, budget=Budget(**small))
    if "enable_thinking" not in (processor.chat_template or ""):
        request = replace(request, thinking=None)
    ours = processor.encode(request)
    published = processor.encode(replace(request, style="published"))
    assert ours.input_ids == published.input_ids
