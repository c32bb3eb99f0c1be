"""How likely the local engine finds replies: as one pass over prompt and reply says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import valley
from model.pictures import picture
from valley import Budget
from valley.chat import Chat
from valley.types import Request, Video

CANDIDATES = ("red", "a striped blue mug, set of 2", "$12.99", "", "<|im_end|>", "红色条纹马克杯")
SMALL = Budget(max_pixels=28 * 28 * 16)


def in_one_pass(chat: Chat, request: Request, candidate: str) -> list[float]:
    """The log-probability of each token of the reply and of the end of the turn, by all logits."""
    engine = chat.engine
    prompt = engine.processor.encode(request)
    ids = engine.processor.encode_text(candidate)
    assert engine.stop_ids[0] not in ids, "words are never control tokens"
    inputs = engine.processor.collate([prompt])
    whole = torch.tensor([[*prompt.input_ids, *ids, engine.stop_ids[0]]])
    inputs["input_ids"], inputs["attention_mask"] = whole, torch.ones_like(whole)
    with torch.inference_mode():
        logits = engine.model(**inputs).logits[0].log_softmax(-1)
    start = len(prompt.input_ids)
    return [float(logits[at - 1, whole[0, at]]) for at in range(start, whole.shape[1])]


def check(chat: Chat, budget: Budget = SMALL) -> None:
    torch.set_num_threads(1)
    clip = [picture(seed, 84, 56) for seed in range(3)]
    for request in (
        chat.request("What color is it?"),
        chat.request("What is this?", picture(1, 200, 60), picture(2, 60, 90), budget=budget),
        chat.request("What happens?", Video(clip), budget=budget),
    ):
        told = [in_one_pass(chat, request, text) for text in CANDIDATES]
        means = [sum(values) / len(values) for values in told]
        assert chat.engine.score(request, CANDIDATES) == pytest.approx(means, abs=1e-4)
        sums = [sum(values) for values in told]
        assert chat.engine.log_probs(request, CANDIDATES) == pytest.approx(sums, abs=1e-3)
        assert len({round(value, 3) for value in means}) == len(CANDIDATES)


def test_of_one_tower(tiny_valley2_5: Path) -> None:
    check(valley.load(tiny_valley2_5, device="cpu", dtype="float32"))


def test_of_two_towers(tiny_valley2: Path) -> None:
    check(valley.load(tiny_valley2, device="cpu", dtype="float32"))


def test_of_tiles(sail: Callable[[str], Path]) -> None:
    check(valley.load(sail("aimv2_8b"), device="cpu", dtype="float32"), Budget(max_tiles=1))


def test_nothing_to_score_is_said(tiny_valley2_5: Path) -> None:
    chat = valley.load(tiny_valley2_5, device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="at least one candidate"):
        chat.engine.score(chat.request("Hello"), [])
