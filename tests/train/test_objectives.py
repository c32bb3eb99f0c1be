"""What the stages learn, on a model that is a table of log-probabilities: which tokens are pulled
up, which down, and which not at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from valley.encoding import Encoded
from valley.prompt import IGNORE_INDEX
from valley.train import grpo
from valley.train.advantages import k3_kl
from valley.train.grpo import Drawn, Prompts, Reinforcing, Reply
from valley.train.preference import Preferring
from valley.train.recipe import Recipe
from valley.train.rewards import Scored
from valley.train.rows import Row, make_row
from valley.train.sft import Supervised
from valley.train.stream import Loaded, Step
from valley.types import Sample

Make = Callable[..., Recipe]


class Table(nn.Module):
    """Gives each target of a row its own log-probability."""

    def __init__(self, length: int, level: float = -1.0) -> None:
        super().__init__()
        self.told = nn.Parameter(torch.full((1, length), level))

    def forward(self, labels: Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(log_probs=self.told * (labels != IGNORE_INDEX))


def conversation(asked: int, learnt: int) -> Encoded:
    ids = [7] * (asked + learnt)
    return Encoded(ids, [IGNORE_INDEX] * asked + ids[asked:], [], [], [])


def step_of(row: Any) -> Step:
    return Step((row,), 1, 0, {})


def pull(loss: Tensor, model: Table) -> list[float]:
    """How strongly each token is pulled up (above 0) or down."""
    (gradient,) = torch.autograd.grad(loss, [model.told])
    return [0.0 if abs(n) < 1e-9 else -n for n in gradient[0].tolist()]


def signs(pulled: list[float]) -> str:
    return "".join("+" if n > 0 else "-" if n < 0 else "." for n in pulled)


def test_supervised_words_count_by_their_weights() -> None:
    row = make_row([conversation(2, 4), conversation(1, 1)], "square")
    model, objective = Table(row.tokens), Supervised()
    assert pull(objective.loss(model, row), model) == [0, 0, 0.5, 0.5, 0.5, 0.5, 0, 1]
    assert objective.weight(step_of(row)) == 3.0
    with torch.no_grad():
        assert objective.measure(model, row) == {"loss": 3.0, "weight": 3.0}


@pytest.fixture
def pairs() -> Row:
    """Two pairs; a chosen reply of two tokens, a rejected one of one."""
    return make_row([conversation(2, 2), conversation(2, 1)] * 2)


def preferring(recipe_of: Make, reference: nn.Module, **weights: float) -> Preferring:
    recipe = recipe_of(stage="preference", **weights)
    return Preferring(recipe, reference)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weights", "expected", "lost"),
    [
        ({"dpo": 1.0, "bco": 0.0}, "..++..-" * 2, 2 * math.log(2)),
        ({"dpo": 0.0, "bco": 1.0}, "..++..-" * 2, 4 * math.log(2)),
        ({"dpo": 0.0, "bco": 0.0, "sft": 1.0}, "..++..." * 2, 2.0),
    ],
    ids=["dpo", "bco", "sft"],
)
def test_the_chosen_reply_is_pulled_up_and_the_rejected_one_down(
    recipe_of: Make, pairs: Row, weights: dict[str, float], expected: str, lost: float
) -> None:
    model = Table(pairs.tokens)
    objective = preferring(recipe_of, Table(pairs.tokens), **weights)
    step = objective.prepare(model, step_of(pairs), iter(()))
    loss = objective.loss(model, step.rows[0])
    assert signs(pull(loss, model)) == expected
    assert loss.item() == pytest.approx(lost)
    assert objective.weight(step) == 2.0


def test_a_pair_is_right_where_the_chosen_reply_gained_more(recipe_of: Make, pairs: Row) -> None:
    model = Table(pairs.tokens)
    objective = preferring(recipe_of, Table(pairs.tokens))
    with torch.no_grad():
        model.told[0, 2] += 0.5  # chosen, of the first pair
        found = objective.measure(model, pairs)
    assert (found["accuracy"], found["weight"]) == (1.0, 2)
    step = objective.prepare(model, step_of(pairs), iter(()))
    objective.loss(model, step.rows[0])
    logged = objective.metrics()
    assert (logged["accuracy"], logged["margin"]) == (0.5, pytest.approx(0.1 * 0.5 / 2))
    assert (logged["chosen"], logged["rejected"]) == (-1.75, -1.0)


@pytest.fixture
def drawn() -> Drawn:
    """A good reply of two tokens and a bad one of one."""
    prompt, none = Encoded([7, 7], [IGNORE_INDEX] * 2, [], [], []), Scored(0, 0, 0)
    replies = [Reply(prompt, [8, 9], none, 1.0), Reply(prompt, [9], none, -1.0)]
    row = make_row([reply.conversation() for reply in replies])
    advantages = torch.tensor([reply.advantage for reply in replies])
    return Drawn(row, advantages[row.owner], None, None)


def reinforcing(recipe_of: Make, **changes: Any) -> Reinforcing:
    recipe = recipe_of(stage="grpo", reply=4, **changes)
    return Reinforcing(recipe, SimpleNamespace(), None)  # type: ignore[arg-type]


def test_drawn_replies_learn_by_their_own_rewards(
    recipe_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prompts; the reply [9] has the right answer to both."""
    texts = {(8, 8): "no", (9,): "yes"}
    encoder = SimpleNamespace(decode_reply=lambda ids: f"<answer>{texts[tuple(ids)]}</answer>")
    objective = reinforcing(recipe_of, group=2)
    objective.make = SimpleNamespace(encoder=encoder, unseen=None)  # type: ignore[assignment]
    replies = [[[8, 8], [9]], [[8, 8], [9]]]
    monkeypatch.setattr(grpo, "draw_replies", lambda *_: replies)
    prompt = Encoded([7], [IGNORE_INDEX], [], [], [])
    prompts = [
        Loaded(n, Sample((), meta={"domain": "ocr", "answer": "yes"}), [prompt]) for n in range(2)
    ]
    model = Table(10)
    step = objective.prepare(model, Step((Prompts(prompts),), 2, 0, {}), iter(()))
    assert signs(pull(objective.loss(model, step.rows[0]), model)) == ".--.+" * 2
    logged = objective.metrics()
    assert (logged["accuracy"], logged["format"], logged["reply_tokens"]) == (0.5, 0.0, 1.5)


def test_a_better_reply_is_pulled_up_and_a_worse_one_down(recipe_of: Make, drawn: Drawn) -> None:
    model, objective = Table(drawn.tokens), reinforcing(recipe_of)
    assert pull(objective.loss(model, drawn), model) == [0, 0, 1, 1, 0, 0, -1]
    assert objective.weight(step_of(drawn)) == 3.0


def test_a_reply_that_has_moved_far_is_left_alone(recipe_of: Make, drawn: Drawn) -> None:
    model, objective = Table(drawn.tokens), reinforcing(recipe_of, iterations=2)
    before = model.told.detach().clone()
    before[0, 2] -= 0.5  # a good token, beyond 1 + clip_high already
    before[0, 6] += 0.5  # a bad one, below 1 - clip_low already
    moved = replace(drawn, before=before)
    assert signs(pull(objective.loss(model, moved), model)) == "...+..."


def test_the_distance_from_the_start_pulls_back(recipe_of: Make, drawn: Drawn) -> None:
    model, objective = Table(drawn.tokens), reinforcing(recipe_of, kl=1.0)
    reference = torch.full((1, drawn.tokens), -2.0)
    still = replace(drawn, advantages=torch.zeros_like(drawn.advantages), reference=reference)
    loss = objective.loss(model, still)
    assert loss.item() == pytest.approx(3 * float(k3_kl(torch.tensor(-1.0), torch.tensor(-2.0))))
    assert signs(pull(loss, model)) == "..--..-"
