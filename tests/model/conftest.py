"""Requests that tests of models ask, and a model of one's own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from model.pictures import picture
from valley.encoding import Encoded
from valley.processing import ValleyProcessor
from valley.types import Budget, Image, Message, Request


@pytest.fixture(scope="session")
def dialogues() -> list[tuple[Message, ...]]:
    """Conversations of uneven length: two pictures, none, one."""
    wide, tall, small = picture(1, 280, 84), picture(2, 56, 196), picture(3, 84, 84)
    return [
        (Message.of("user", Image(wide), Image(tall), "Which of the two pictures is wider?"),),
        (Message.of("user", "Hello"),),
        (Message.of("system", "Be brief."), Message.of("user", "Here: ", Image(small), " What?")),
    ]


@pytest.fixture(scope="session")
def encoded(tiny_processor: ValleyProcessor, dialogues: list[tuple[Message, ...]]) -> list[Encoded]:
    budget = Budget(min_pixels=784)
    return [tiny_processor.encode(Request(messages, budget)) for messages in dialogues]


@pytest.fixture
def own_model(tiny_model: Any) -> Any:
    """A copy of the tiny model that a test may train or change."""
    return copy.deepcopy(tiny_model)


@pytest.fixture
def own_checkpoint(tiny_valley2_5: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may change; its large files are links."""
    target = tmp_path / "checkpoint"
    target.mkdir()
    for file in tiny_valley2_5.iterdir():
        (target / file.name).hardlink_to(file)
    return target
