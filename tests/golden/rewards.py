"""The reward section of the Valley2.5 vectors: rewards, difficulty, advantages, losses on pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from golden.compare import findings
from golden.report import Result, guarded
from valley.train.advantages import group_advantages, k3_kl, policy_loss
from valley.train.difficulty import difficulty
from valley.train.preference_losses import (
    LogRatios,
    RunningDelta,
    Weights,
    bco_loss,
    dpo_loss,
    preference_loss,
)
from valley.train.rewards import gthinker, overlap
from valley.train.rewards.text import edit_similarity

Values = Mapping[str, Any]


def check(group: str, section: Values) -> Iterator[Result]:
    """One result for each entry of a list, one for each other part."""
    for part, value in section.items():
        if part == "mpo_beta0.1":
            yield from _mixed_losses(group, part, value)
        elif part not in ASKED:
            yield Result(group, f"rewards.{part}", error=f"unknown section rewards.{part}")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield guarded(group, f"{part}[{number}]", partial(_compare, part, item))
        else:
            yield guarded(group, part, partial(_compare, part, value))


def _compare(part: str, wanted: Values) -> Any:
    asked, compute = ASKED[part], COMPUTE[part]
    same = {key: wanted[key] for key in asked}
    kinds = {key: "exact" if isinstance(value, str) else "score" for key, value in wanted.items()}
    return findings(kinds, _without(wanted, asked), compute(same))


def _without(values: Values, keys: tuple[str, ...]) -> Values:
    return {key: value for key, value in values.items() if key not in keys}


def _edit(v: Values) -> Values:
    return {
        "lev": Levenshtein.distance(v["pred"], v["gt"]),
        "raw_similarity": edit_similarity(v["pred"], v["gt"], tau=0),
        "reward": edit_similarity(v["pred"], v["gt"]),
    }


def _iou(v: Values) -> Values:
    value = overlap.iou(v["pred"], v["gt"])
    return {"iou": value, "reward_eq3": overlap.above(value, overlap.TAU)}


def _grounding(v: Values) -> Values:
    return {
        "table3_fraction": overlap.fraction_of_boxes(v["pred"], v["gt"]),
        "eq3_mean": overlap.graded_boxes(v["pred"], v["gt"]),
    }


def _grpo(v: Values) -> Values:
    rewards = _tensor(v["rewards"])[None]
    return {
        "mean": rewards.mean().item(),
        "std_unbiased": rewards.std().item(),
        "adv": group_advantages(rewards)[0].tolist(),
        "adv_population_std": group_advantages(rewards, unbiased=False)[0].tolist(),
    }


def _policy(v: Values) -> Values:
    log_ratio = _tensor([[v["ratio"]]]).log()
    loss = policy_loss(
        log_ratio, torch.zeros_like(log_ratio), _tensor([[v["adv"]]]), low=0.2, high=0.3, dual=3.0
    )
    return {"loss": loss.item()}


def _kl(v: Values) -> Values:
    return {"kl": k3_kl(_tensor(v["logp"]), _tensor(v["ref"])).item()}


def _difficulty(_: Values) -> Values:
    return {str(passes): difficulty(passes, 8) for passes in range(9)}


#: What a vector asks; its other keys are what it expects.
ASKED: dict[str, tuple[str, ...]] = {
    "edit_distance": ("pred", "gt"),
    "iou": ("pred", "gt"),
    "grounding_table3_fraction": ("pred", "gt"),
    "format_reward_gthinker_regex": ("text",),
    "grpo": ("rewards",),
    "grpo_policy_loss_low0.2_high0.3_dual3": ("ratio", "adv"),
    "k3_kl": ("logp", "ref"),
    "difficulty_8_rollouts": (),
}
COMPUTE: dict[str, Callable[[Values], Values]] = {
    "edit_distance": _edit,
    "iou": _iou,
    "grounding_table3_fraction": _grounding,
    "format_reward_gthinker_regex": lambda v: {"reward": gthinker.format_reward(v["text"])},
    "grpo": _grpo,
    "grpo_policy_loss_low0.2_high0.3_dual3": _policy,
    "k3_kl": _kl,
    "difficulty_8_rollouts": _difficulty,
}
MPO_ASKED = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")


def _mixed_losses(group: str, part: str, value: Values) -> Iterator[Result]:
    """Micro-batches in a row: the running delta goes from one to the next."""
    delta = RunningDelta()
    for number, step in enumerate(value["steps"]):
        yield guarded(group, f"{part}[{number}]", partial(_mixed_step, step, delta))
    for name in value.keys() - {"steps", "note"}:
        yield Result(group, f"{part}.{name}", error=f"unknown section rewards.{part}.{name}")


def _mixed_step(step: Values, delta: RunningDelta) -> Any:
    chosen, rejected, ref_chosen, ref_rejected = (_tensor(step[key]) for key in MPO_ASKED)
    ratios = LogRatios(chosen - ref_chosen, rejected - ref_rejected)
    mixed = preference_loss(ratios, delta, weights=Weights(0.8, 0.2))
    dpo, bco = dpo_loss(ratios), bco_loss(ratios, delta.mean)
    actual = {
        "dpo_per_sample": dpo.tolist(),
        "delta": delta.mean,
        "bco_per_sample": bco.tolist(),
        "mix_0.8_0.2_per_sample": (0.8 * dpo + 0.2 * bco).tolist(),
        "mix_mean": mixed.loss.item(),
    }
    return findings(dict.fromkeys(step, "score"), _without(step, MPO_ASKED), actual)


def _tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
