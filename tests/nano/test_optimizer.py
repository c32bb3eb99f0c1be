"""Muon's updates are orthogonal, whatever the products are computed in."""

from __future__ import annotations

import pytest
import torch

from valley.nano.optimizer import Muon, orthogonal


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 24, 64), (2, 64, 24), (1, 32, 32)])
def test_matrices_become_orthogonal(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """The iteration brings singular values near one, and keeps the directions."""
    torch.manual_seed(0)
    wide = torch.randn(shape)
    made = orthogonal(wide.to(dtype))
    assert made.dtype == dtype and made.shape == wide.shape
    values = torch.linalg.svdvals(made.float())
    assert float(values[:, :-1].min()) > 0.6 and float(values.max()) < 1.25
    left, _, right = torch.linalg.svd(wide, full_matrices=False)
    torch.testing.assert_close(
        (left.mT @ made.float() @ right.mT).diagonal(dim1=1, dim2=2), values, atol=0.5, rtol=0
    )


def test_a_step_is_as_long_as_its_rate_in_float32() -> None:
    torch.manual_seed(0)
    gradient, moved = torch.randn(16, 64), []
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.nn.Parameter(torch.zeros(16, 64))
        matrix.grad = gradient.clone()
        Muon([{"params": [matrix]}], lr=0.01, dtype=dtype).step()
        assert matrix.dtype == torch.float32
        # 16 singular values near one, times 0.6 times the root of the longer side.
        expected = 0.01 * 0.6 * 64**0.5 * 16**0.5
        assert float(matrix.detach().norm()) == pytest.approx(expected, rel=0.2)
        moved.append(matrix.detach())
    assert not torch.equal(*moved)
    torch.testing.assert_close(*moved, atol=0.1 * 0.01 * 0.6 * 64**0.5, rtol=0)
