"""DPO, BCO and its running delta, SFT, their mix. Published numbers are in the vector file that
`test_run_vectors.py` runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from valley.train.preference_losses import (
    MPO,
    LogRatios,
    RunningDelta,
    Weights,
    bco_loss,
    dpo_loss,
    preference_loss,
    sft_loss,
)


def ratios(chosen: list[float], rejected: list[float]) -> LogRatios:
    return LogRatios(torch.tensor(chosen), torch.tensor(rejected))


def test_terms_by_hand() -> None:
    pair = ratios([2.0], [-1.0])
    assert dpo_loss(pair, beta=0.5).item() == pytest.approx(math.log1p(math.exp(-1.5)))
    expected = math.log1p(math.exp(-(1 - 0.2))) + math.log1p(math.exp(-0.5 - 0.2))
    assert bco_loss(pair, delta=0.2, beta=0.5).item() == pytest.approx(expected)


def test_sft_is_a_mean_over_tokens_of_the_batch() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, -9.0], [-6.0, -9.0, -9.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert sft_loss(log_probs, mask).item() == 3.0
    assert sft_loss(log_probs, torch.zeros(2, 3)).item() == 0.0


def test_the_delta_is_the_mean_of_the_means() -> None:
    delta = RunningDelta()
    assert delta.update(torch.tensor([1.0, 3.0])) == 2.0
    assert delta.update(torch.tensor([8.0])) == 5.0
    assert delta.update(torch.tensor([-4.0, -4.0, -4.0, -4.0])) == 2.0
    assert (delta.mean, delta.count) == (2.0, 3)


def test_a_rank_without_pairs_leaves_the_delta() -> None:
    delta = RunningDelta()
    assert delta.update(torch.tensor([])) == 0.0
    delta.update(torch.tensor([3.0]))
    assert delta.update(torch.tensor([])) == 3.0
    assert delta.count == 1


def test_the_delta_is_restored() -> None:
    delta, again = RunningDelta(), RunningDelta()
    for value in (0.1, 0.7, -2.3):
        delta.update(torch.tensor([value]))
    again.load_state_dict(json.loads(json.dumps(delta.state_dict())))
    assert again.update(torch.tensor([0.3])) == delta.update(torch.tensor([0.3]))
    with pytest.raises(ValueError, match="mean and count"):
        again.load_state_dict({"mean": 0.0})


def test_the_delta_takes_a_batch_in_before_it_is_used() -> None:
    pair, delta = ratios([2.0, 1.0], [-1.0, 0.0]), RunningDelta()
    found = preference_loss(pair, delta, weights=Weights(0.0, 1.0), beta=0.5)
    assert delta.mean == 0.25
    assert found.loss.item() == pytest.approx(bco_loss(pair, 0.25, 0.5).mean().item())
    assert found.bco.item() == found.loss.item()


def test_an_evaluation_leaves_the_delta() -> None:
    delta = RunningDelta()
    delta.update(torch.tensor([0.5]))
    pair = ratios([2.0], [-1.0])
    found = preference_loss(pair, delta, weights=Weights(0.0, 1.0), learn_delta=False)
    assert (delta.mean, delta.count) == (0.5, 1)
    assert found.loss.item() == pytest.approx(bco_loss(pair, 0.5).mean().item())


def test_no_gradient_flows_through_the_delta() -> None:
    chosen = torch.tensor([2.0, 1.0], requires_grad=True)
    pair = LogRatios(chosen, torch.tensor([-1.0, 0.0]))
    delta = RunningDelta()
    loss = preference_loss(pair, delta, weights=Weights(0.0, 1.0)).loss
    (slope,) = torch.autograd.grad(loss, chosen)
    (expected,) = torch.autograd.grad(bco_loss(pair, delta.mean).mean(), chosen)
    assert torch.equal(slope, expected)


def test_weights() -> None:
    pair, sft = ratios([2.0], [-1.0]), torch.tensor(3.0)
    terms = preference_loss(pair, RunningDelta(), sft=sft)
    plain = 0.8 * terms.dpo + 0.2 * terms.bco
    torch.testing.assert_close(terms.loss, plain)
    torch.testing.assert_close(
        preference_loss(pair, RunningDelta(), weights=MPO, sft=sft).loss, plain + 3.0
    )
    assert not any(term.requires_grad for term in (terms.dpo, terms.bco, terms.sft))
    with pytest.raises(ValueError, match="sft="):
        preference_loss(pair, RunningDelta(), weights=MPO)


#: Rewards of both ranks in two steps; in the second one of them has no pair.
BATCHES: list[list[list[float]]] = [[[1.0, 3.0], [8.0]], [[-4.0, 0.5], []]]


def _rank(rank: int, folder: str) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    delta = RunningDelta()
    for batch in BATCHES:
        delta.update(torch.tensor(batch[rank]))
    Path(folder, f"{rank}.json").write_text(json.dumps(delta.state_dict()), encoding="utf-8")
    distributed.destroy_process_group()


def test_ranks_share_one_delta(tmp_path: Path) -> None:
    multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    states = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert states[0] == states[1] == {"mean": pytest.approx((4.0 - 1.75) / 2), "count": 2}
