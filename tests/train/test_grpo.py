"""Groups that teach nothing are left out, and the next prompts of the stream take their place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from train import crash
from valley.encoding import Encoded
from valley.train import grpo
from valley.train.grpo import Group, Prompts, Reinforcing, Reply, batches_of, prompts_of
from valley.train.recipe import GRPO, Recipe
from valley.train.rewards import Scored
from valley.train.run import train
from valley.train.stream import Loaded, Step
from valley.types import Sample

Make = Callable[..., Recipe]


def step_of(*positions: int) -> Step:
    prompts = tuple(Loaded(position, Sample(()), []) for position in positions)
    return Step((Prompts(prompts),), len(prompts), 0, {"position": positions[-1] + 1})


class Fixed(Reinforcing):
    """Draws nothing: only prompts at even positions have replies of more than one reward."""

    def _draw(
        self, model: nn.Module, prompts: Sequence[Loaded], greedy: bool = False
    ) -> list[Group]:
        return [
            Group(item.position, tuple(reply(1.0 + n * (1 - item.position % 2)) for n in (0, 1)))
            for item in prompts
        ]


def reply(total: float) -> Reply:
    return Reply(Encoded([1], [1], [], [], []), [1], Scored(1.0, total - 1, total))


def groups_of(recipe: Any, later: Iterator[Step]) -> tuple[list[int], int]:
    """Positions of the groups that are kept, and the next one of the stream."""
    found = Fixed(recipe, SimpleNamespace(), None)  # type: ignore[arg-type]
    groups, step = found._groups(nn.Identity(), step_of(0, 1, 2, 3), later)
    return [group.position for group in groups], step.state["position"]


def more() -> Iterator[Step]:
    return (step_of(*range(first, first + 4)) for first in range(4, 40, 4))


@pytest.mark.parametrize(
    ("redraw", "wanted", "position"),
    [(0, [0, 2], 4), (1, [0, 2, 4, 6], 8), (5, [0, 2, 4, 6], 8)],
)
def test_the_next_prompts_take_the_place_of_groups_without_signal(
    recipe_of: Make, redraw: int, wanted: list[int], position: int
) -> None:
    recipe = recipe_of(stage="grpo", reply=4, redraw=redraw)
    assert groups_of(recipe, more()) == (wanted, position)


def test_no_more_groups_are_kept_than_are_missing(recipe_of: Make) -> None:
    recipe = recipe_of(stage="grpo", reply=4, redraw=5)
    assert groups_of(recipe, iter([step_of(4, 5), step_of(6, 8, 10)])) == ([0, 2, 4, 6], 11)


def test_redrawing_ends_with_its_bound_and_with_the_data(recipe_of: Make) -> None:
    odd = [step_of(n) for n in (5, 7, 9, 11)]
    recipe = recipe_of(stage="grpo", reply=4, redraw=3)
    assert groups_of(recipe, iter(odd)) == ([0, 2], 10)
    assert groups_of(recipe, iter(odd[:1])) == ([0, 2], 6)


def test_where_steps_come_twice_the_last_taken_is_learnt_from_twice(recipe_of: Make) -> None:
    later = iter([step_of(0, 1, 2, 3), *repeat(step_of(4, 5, 6, 7), 2)])
    recipe = recipe_of(stage="grpo", reply=4, redraw=5, iterations=2)
    assert groups_of(recipe, later) == ([0, 2, 4, 6], 8)
    assert [item.position for item in prompts_of(next(later))] == [4, 5, 6, 7]


def test_redraw_without_discard_is_refused(recipe_of: Make) -> None:
    with pytest.raises(ValueError, match="redraw replaces what discard leaves out"):
        recipe_of(stage="grpo", reply=4, redraw=1, discard=False)


def test_prompts_are_drawn_together_while_there_is_room(
    recipe_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(stage="grpo", reply=4, group=2)
    assert isinstance(recipe, GRPO)
    prompts = [Encoded([1] * length, [], [], [], []) for length in (3, 5, 5, 30)]
    monkeypatch.setattr(grpo, "TOKENS", 40)  # two of 9 tokens, twice each
    lengths = [[len(p.input_ids) for p in batch] for batch in batches_of(prompts, recipe)]
    assert lengths == [[3, 5], [5], [30]]


def test_a_stopped_run_redraws_what_one_that_was_not_stopped_does(
    recipe_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_colour(items: Any, *_: Any) -> list[Scored]:
        """Replies differ only where the answer is red."""
        scores = [number % 2 * (truth.value == "red") for number, (*_, truth) in enumerate(items)]
        return [Scored(0.0, float(score), float(score)) for score in scores]

    monkeypatch.setattr(grpo, "score_all", by_colour)
    fixed = {"stage": "grpo", "optimizer": {"warmup": 0.0, "decay": "constant"}, "every": 2}
    ends = {}
    for name, stops in {"whole": (4,), "stopped": (2, 4)}.items():
        output = tmp_path / name
        for steps in stops:
            recipe = recipe_of(**fixed, reply=4, group=2, redraw=2, steps=steps, output=str(output))
            train(recipe)
        kept = json.loads((output / "checkpoint-4" / "stream.json").read_text(encoding="utf-8"))
        ends[name] = (kept["stream"], crash.curve(recipe))
    assert ends["whole"][0]["position"] > 4 * 4  # of the samples only every third is red
    assert ends["whole"] == ends["stopped"]
