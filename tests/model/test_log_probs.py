"""Log-probabilities in pieces equal those of whole logits, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from valley.model import log_probs
from valley.model.log_probs import target_log_probs


def whole(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    logits = (hidden @ head.T).float().log_softmax(-1)[:, :-1]
    targets = labels[:, 1:]
    told = logits.gather(2, targets.clamp(min=0)[..., None])[..., 0] * (targets != -100)
    return torch.cat([torch.zeros(len(labels), 1), told], 1)


@pytest.fixture
def case() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 9, 16), torch.randn(50, 16)
    labels = torch.randint(0, 50, (2, 9))
    labels[0, 2:5] = labels[1, 0] = -100
    return hidden, head, labels


@pytest.mark.parametrize("rows", [1, 3, 512])
def test_equal_to_whole_logits(
    case: tuple[Tensor, Tensor, Tensor], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_probs, "ROWS", rows)
    hidden, head, labels = case
    weights = torch.randn(2, 9)
    results = []
    for function in (target_log_probs, whole):
        inputs = [tensor.clone().requires_grad_() for tensor in (hidden, head)]
        told = function(*inputs, labels)
        (told * weights).sum().backward()
        results.append((told.detach(), *(tensor.grad for tensor in inputs)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_frozen_head_gets_no_gradient(case: tuple[Tensor, Tensor, Tensor]) -> None:
    hidden, head, labels = case
    states = hidden.requires_grad_()
    target_log_probs(states, head, labels).sum().backward()
    assert states.grad is not None
    assert head.grad is None


def test_gradients_pass_the_numerical_check(case: tuple[Tensor, Tensor, Tensor]) -> None:
    hidden, head, labels = (case[0].double(), case[1].double(), case[2])
    inputs = (hidden[:, :4].requires_grad_(), head[:12].clone().requires_grad_())
    targets = labels[:, :4].clamp(max=11)

    def told(states: Tensor, table: Tensor) -> Tensor:
        return target_log_probs(states, table, targets)

    # Totals are float32: the check is as fine as they are.
    assert torch.autograd.gradcheck(told, inputs, eps=1e-3, atol=1e-2)


def test_nothing_asked_is_zero_and_has_gradients(case: tuple[Tensor, Tensor, Tensor]) -> None:
    hidden, head, labels = case
    states = hidden.requires_grad_()
    told = target_log_probs(states, head, torch.full_like(labels, -100))
    told.sum().backward()
    assert not told.any()
    assert states.grad is not None
    assert not states.grad.any()


def test_autocast_gives_float32_and_gradients_of_the_inputs_kind(
    case: tuple[Tensor, Tensor, Tensor],
) -> None:
    hidden, head, labels = case
    inputs = hidden.requires_grad_(), head.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        told = target_log_probs(*inputs, labels)
    told.sum().backward()
    assert told.dtype == torch.float32
    assert all(tensor.grad is not None and tensor.grad.dtype == tensor.dtype for tensor in inputs)
    torch.testing.assert_close(told, whole(hidden, head, labels), atol=0.3, rtol=0.05)
