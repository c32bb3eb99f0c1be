"""Packed rows: losses and gradients of samples in one row are those of the samples alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText

import valley.auto  # noqa: F401
from train.conftest import FAMILIES, sample
from valley.encoding import Encoded
from valley.model.segments import SEGMENTS
from valley.processing import ValleyProcessor
from valley.train.examples import Examples
from valley.train.rows import WEIGHTINGS, Row, make_row, sums_by_owner
from valley.train.sft import row_log_probs, whole
from valley.types import Budget


def load(checkpoint: Path, attention: str = SEGMENTS) -> Any:
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).train()
    model.set_attn_implementation({"text_config": attention})
    return model


def encode(checkpoint: Path, folder: Path, number: int = 3) -> list[Encoded]:
    """Samples, the second of which has no picture."""
    processor = ValleyProcessor.from_pretrained(checkpoint)
    budget = Budget(max_tiles=1) if processor.planner.family.cuts_tiles else Budget()
    examples = Examples(processor, whole, 4000, budget)
    return [examples.load(sample(n, folder, pictures=n != 1))[0] for n in range(number)]


def losses(model: Any, rows: Sequence[Row]) -> tuple[Tensor, dict[str, Tensor]]:
    """The normalised loss over some rows, and its gradients."""
    model.zero_grad()
    weight = sum(row.weights.sum() for row in rows)
    loss = torch.stack([-(row_log_probs(model, row) * row.weights).sum() for row in rows]).sum()
    (loss / weight).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return (loss / weight).detach(), {name: grad.clone() for name, grad in found.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_unpacked(
    family: str, checkpoint_of: Callable[[str], Path], tmp_path: Path
) -> None:
    encoded = encode(checkpoint_of(family), tmp_path)
    model = load(checkpoint_of(family))
    apart, expected = losses(model, [make_row([item], "square") for item in encoded])
    for attention in (SEGMENTS, "sdpa", "eager"):
        model.set_attn_implementation({"text_config": attention})
        together, found = losses(model, [make_row(encoded, "square")])
        torch.testing.assert_close(together, apart, rtol=1e-6, atol=0)
        assert found.keys() == expected.keys()
        # A gradient that is nothing but rounding, as that of a key's bias, is no yardstick.
        least = 1e-3 * max(gradient.norm() for gradient in expected.values())
        for name, gradient in found.items():
            distance = (gradient - expected[name]).norm()
            assert distance < 1e-4 * expected[name].norm().clamp(min=least), (attention, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_grey_pictures_change_what_the_trainer_sees(
    family: str, checkpoint_of: Callable[[str], Path], tmp_path: Path
) -> None:
    row = make_row(encode(checkpoint_of(family), tmp_path, number=1))
    model = load(checkpoint_of(family)).eval()
    grey = {
        name: torch.zeros_like(value) if name in ("pixel_values", "tiles") else value
        for name, value in row.inputs.items()
    }
    seen = row_log_probs(model, row)
    unseen = row_log_probs(model, Row(grey, row.labels, row.weights, row.owner, row.pictures))
    assert (seen - unseen).abs().max() > 1e-5


def test_a_picture_that_nobody_sees_changes_nothing_but_reaches_the_tower(
    tiny_valley2_5: Path, tmp_path: Path
) -> None:
    with_picture, without, *_ = encode(tiny_valley2_5, tmp_path)
    model = load(tiny_valley2_5)
    plain, alone = losses(model, [make_row([without])])
    pixels = {
        name: value
        for name, value in make_row([with_picture]).inputs.items()
        if name in ("pixel_values", "image_grid_thw") and isinstance(value, Tensor)
    }
    kept, found = losses(model, [make_row([without], unseen=pixels)])
    assert kept == plain
    assert not any("vision" in name for name in alone)
    assert any("vision_tower" in name for name in found)
    assert all(not found[name].any() for name in found if "vision" in name)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weights_of_a_sample(weighting: str, tiny_valley2_5: Path, tmp_path: Path) -> None:
    encoded = encode(tiny_valley2_5, tmp_path)
    row = make_row(encoded, weighting)
    numbers = sums_by_owner((row.labels != -100).float(), row).tolist()
    expected = {
        "token": numbers,
        "sample": [1.0] * 3,
        "square": [number**0.5 for number in numbers],
    }
    assert sums_by_owner(row.weights, row).tolist() == pytest.approx(expected[weighting])


def test_no_sample_predicts_the_first_token_of_the_next(
    tiny_valley2_5: Path, tmp_path: Path
) -> None:
    item = encode(tiny_valley2_5, tmp_path, number=1)[0]
    all_learnt = Encoded(item.input_ids, item.input_ids, item.plans, item.patches, item.tiles)
    row = make_row([all_learnt, all_learnt])
    length = len(item.input_ids)
    assert row.labels[0, 0] == row.labels[0, length] == -100
    assert (row.labels != -100).sum() == 2 * (length - 1)
    positions = row.inputs["position_ids"]
    assert isinstance(positions, Tensor)
    assert positions[0, length] == 0
