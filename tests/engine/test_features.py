"""Pictures that are seen again are not encoded again, and look the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from valley.engine.features import FeatureCache
from valley.engine.local import LocalEngine
from valley.types import Budget, Image, Message, Request, Sampling


def picture(seed: int, size: tuple[int, int] = (60, 40)) -> PILImage.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
    return PILImage.fromarray(noise)


def request(engine: LocalEngine, *shown: PILImage.Image) -> Request:
    tiled = engine.processor.planner.family.cuts_tiles
    budget = Budget(max_tiles=2) if tiled else Budget(min_pixels=784, max_pixels=3136)
    parts = [Image(one) for one in shown]
    return Request((Message.of("user", *parts, "What?"),), budget)


@pytest.fixture(scope="module", params=["tiny_valley2_5", "tiny_valley2", "aimv2_8b"])
def engine(request: pytest.FixtureRequest) -> LocalEngine:
    if request.param.startswith("tiny"):
        directory: Path = request.getfixturevalue(request.param)
    else:
        directory = request.getfixturevalue("sail")(request.param)
    return LocalEngine.from_checkpoint(directory, dtype="float32")


@pytest.fixture
def counted(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pictures of every look that the towers take."""
    looks: list[int] = []
    inner: Callable[..., Any] = engine.model.model.get_image_features

    def look(**inputs: Any) -> Any:
        found = inner(**inputs)
        looks.append(len(found.pooler_output))
        return found

    monkeypatch.setattr(engine.model.model, "get_image_features", look)
    monkeypatch.setattr(engine, "features", FeatureCache(engine.model))
    return looks


@torch.inference_mode()
def test_each_picture_is_encoded_once(engine: LocalEngine, counted: list[int]) -> None:
    one, two = picture(1), picture(2, (90, 30))
    first = engine.processor.encode(request(engine, one, two))
    second = engine.processor.encode(request(engine, two))
    alone = engine.processor.encode(request(engine, picture(3)))
    seen = engine.features.of([first, second, first])
    assert counted == [len({id(tensor) for tensor in seen})]
    assert [len(tensor) for tensor in seen] == [
        plan.num_tokens for item in (first, second, first) for plan in item.plans
    ]
    again = engine.features.of([first, alone])
    assert counted[1:] == [1]
    fresh = FeatureCache(engine.model).of([first, alone])
    for kept, made in zip(again, fresh, strict=True):
        assert torch.allclose(kept, made, atol=1e-5)
    assert engine.features.of([]) == []


def test_replies_are_those_of_one_question_at_a_time(
    engine: LocalEngine, counted: list[int]
) -> None:
    asked = [request(engine, picture(i % 2)) for i in range(8)]
    sampling = Sampling(max_new_tokens=6)
    together = [reply.token_ids for reply in engine.run(asked, sampling)]
    assert counted == [2]
    alone = []
    for one in asked:
        engine.features = FeatureCache(engine.model)
        alone.append(next(engine.run([one], sampling)).token_ids)
    assert together == alone


def test_memory_is_bounded(engine: LocalEngine, counted: list[int]) -> None:
    items = [engine.processor.encode(request(engine, picture(i))) for i in range(4)]
    size = engine.features.of(items[:1])[0].nbytes
    engine.features = FeatureCache(engine.model, max_bytes=2 * size)
    for item in items:
        engine.features.of([item])
        assert engine.features.size <= 2 * size
    engine.features.of(items[2:])
    assert counted == [1, 1, 1, 1, 1]
    engine.features.of(items[:1])
    assert counted == [1, 1, 1, 1, 1, 1]
