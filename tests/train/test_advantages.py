"""Advantages of groups, the clipped policy loss, the KL estimate. Published numbers are in the
vector file that `test_run_vectors.py` runs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from valley.train.advantages import group_advantages, k3_kl, policy_loss


@given(
    st.lists(st.lists(st.floats(0, 2), min_size=4, max_size=4), min_size=1, max_size=3),
    st.booleans(),
)
def test_advantages_have_mean_zero_and_unit_spread_in_each_group(
    rows: list[list[float]], unbiased: bool
) -> None:
    rewards = torch.tensor(rows, dtype=torch.float64)
    advantages = group_advantages(rewards, unbiased=unbiased, eps=0.01)
    spread = rewards.std(dim=1, correction=int(unbiased))
    torch.testing.assert_close(advantages.mean(dim=1), torch.zeros_like(spread), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        advantages.std(dim=1, correction=int(unbiased)), spread / (spread + 0.01)
    )


def test_groups_do_not_mix_and_equal_rewards_teach_nothing() -> None:
    rewards = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
    advantages = group_advantages(rewards)
    assert advantages[0].tolist() == [0, 0, 0]
    assert advantages[1].tolist() == pytest.approx([-1, 0, 1], abs=1e-5)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 2, 2)])
def test_rewards_without_groups(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="groups"):
        group_advantages(torch.zeros(shape))


def loss_and_slope(log_ratio: float, advantage: float) -> tuple[float, float]:
    log_probs = torch.tensor([[log_ratio]], dtype=torch.float64, requires_grad=True)
    old, advantages = torch.zeros_like(log_probs), torch.tensor([[advantage]], dtype=torch.float64)
    loss = policy_loss(log_probs, old, advantages).sum()
    (slope,) = torch.autograd.grad(loss, log_probs)
    return loss.item(), slope.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.29, 1.0, -1.29, -1.29),
        (1.31, 1.0, -1.3, 0.0),
        (0.5, 1.0, -0.5, -0.5),
        (0.79, -1.0, 0.8, 0.0),
        (2.9, -1.0, 2.9, 2.9),
        (3.1, -1.0, 3.0, 0.0),
    ],
)
def test_where_the_policy_loss_is_flat(
    ratio: float, advantage: float, loss: float, slope: float
) -> None:
    found = loss_and_slope(torch.tensor(ratio, dtype=torch.float64).log().item(), advantage)
    assert found == pytest.approx((loss, slope))


@pytest.mark.parametrize("log_ratio", [-1e4, 1e4])
@pytest.mark.parametrize("advantage", [-1.0, 0.0, 1.0])
def test_extreme_ratios_stay_finite(log_ratio: float, advantage: float) -> None:
    assert torch.isfinite(torch.tensor(loss_and_slope(log_ratio, advantage))).all()
    extreme = torch.tensor([log_ratio])
    assert torch.isfinite(k3_kl(extreme, torch.zeros(1))).all()


def test_one_advantage_a_reply_serves_all_its_tokens() -> None:
    log_probs = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    advantages: Tensor = torch.tensor([[1.0], [-1.0]])
    wide = policy_loss(log_probs, torch.zeros(2, 3), advantages.expand(2, 3))
    assert torch.equal(policy_loss(log_probs, torch.zeros(2, 3), advantages), wide)


@given(st.floats(-15, 0), st.floats(-15, 0))
def test_the_kl_estimate_is_zero_for_equals_and_never_negative(first: float, second: float) -> None:
    policy, reference = (torch.tensor([x], dtype=torch.float64) for x in (first, second))
    assert k3_kl(policy, policy).item() == 0.0
    assert k3_kl(policy, reference).item() >= -1e-12
