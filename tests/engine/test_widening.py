"""Products in float32 over weights in bfloat16."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import valley
from model.pictures import picture
from valley.engine import widening
from valley.engine.widening import WideConv2d, WideLinear, widen
from valley.types import Budget


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([(2,), (5,), (2, 3), (1, 2)]),
    st.booleans(),
    st.integers(1, 200),
)
def test_the_product_is_that_of_float32(
    width: int, out: int, rows: tuple[int, ...], bias: bool, piece: int
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(width, out, bias=bias).bfloat16()
    wide = copy.deepcopy(layer)
    widen(wide)
    vectors = torch.randn(*rows, width).bfloat16()
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(widening, "PIECE", piece)
        found = wide(vectors)
        expected = layer.float()(vectors.float())
    assert found.dtype == torch.bfloat16
    assert found.shape == (*rows, out)
    assert torch.allclose(found.float(), expected, rtol=2**-7, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_is_that_of_float32(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=bias).bfloat16()
    wide = nn.Sequential(copy.deepcopy(layer))
    widen(wide)
    assert type(wide[0]) is WideConv2d
    picture = torch.randn(2, 4, 9, 9).bfloat16()
    with torch.no_grad():
        found, expected = wide(picture), layer.float()(picture.float())
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), expected, rtol=2**-7, atol=1e-6)
    assert torch.equal(wide.float()(picture.float()), expected)


def test_one_row_and_other_dtypes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(widening, "linear", lambda *arguments: asked.append(arguments))
    layer = nn.Linear(3, 2)
    widen(layer)
    assert type(layer) is WideLinear
    layer(torch.randn(4, 3))
    layer.bfloat16()(torch.randn(1, 1, 3).bfloat16())
    assert not asked


@pytest.mark.parametrize("fast", [True, False])
def test_a_cpu_that_is_slow_in_bfloat16_widens(
    fast: bool, tiny_valley2_5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valley.engine.local.multiplies_bfloat16", lambda: fast)
    chat = valley.load(tiny_valley2_5, device="cpu", dtype="bfloat16")
    model: Any = chat.engine.model  # type: ignore[attr-defined]
    kinds = {type(module) for module in model.modules() if isinstance(module, nn.Linear)}
    assert kinds == {nn.Linear if fast else WideLinear}
    assert model.dtype == torch.bfloat16
    reply = chat.ask("What?", picture(1, 84, 84), max_new_tokens=4, budget=Budget(max_pixels=7056))
    assert reply.usage.completion_tokens > 0
