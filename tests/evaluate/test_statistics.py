"""Intervals against published values, resampling against what can be worked out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from evaluate.sets import PairPoints, Pairs, Plain, Points, items, run
from valley.evaluate.items import Item, Scored, Verdict
from valley.evaluate.resampling import FEWEST, MOST, Resampler
from valley.evaluate.statistics import compare, figures, mcnemar, wilson

RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, number: int, low: float, high: float) -> None:
    assert wilson(right, number) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(number - right, number)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_mcnemar_is_a_two_sided_binomial() -> None:
    assert mcnemar(0, 5) == 2 / 32
    assert mcnemar(9, 1) == mcnemar(1, 9) == 2 * 11 / 1024
    assert mcnemar(0, 0) == mcnemar(4, 4) == 1.0
    assert 0 < mcnemar(2000, 2400) < 1e-8


def test_a_share_has_wilsons_interval_on_its_own_scale() -> None:
    scored = run(items(40), lambda index: index % 4 == 0)
    for scale in (1.0, 100.0):
        overall, even, odd = figures(Plain(scale), scored)
        assert (overall.name, overall.value, overall.full) == ("Overall", 0.25 * scale, scale)
        assert (overall.low, overall.high) == pytest.approx([scale * x for x in wilson(10, 40)])
        assert (even.low, even.high) == pytest.approx([scale * x for x in wilson(10, 20)])
        assert odd.low == 0
        assert odd.high == pytest.approx(scale * wilson(0, 20)[1])
        assert overall.percent == 25.0


def test_questions_on_one_picture_count_as_one() -> None:
    """Ten pictures of 20 equal questions each know as much as ten questions."""
    right = [index % 3 == 0 for index in range(30)]
    scored = run(items(600, pictures=30), lambda index: right[index // 20])
    overall = figures(Plain(), scored)[0]
    spread = 100 * math.sqrt(np.mean(right) * (1 - np.mean(right)) / 30)
    assert overall.high - overall.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    low, high = wilson(200, 600)
    assert overall.high - overall.low > 3 * 100 * (high - low)


def test_scores_between_right_and_wrong_are_resampled() -> None:
    values = RANDOM.random(400)
    overall = figures(Plain(), run(items(400), lambda index: values[index]))[0]
    assert overall.high - overall.low == pytest.approx(2 * 196 * values.std() / 20, rel=0.1)
    assert overall.low < overall.value < overall.high


def test_pairs_scatter_as_if_their_pictures_were_drawn_again() -> None:
    """Halves of the pictures against the bootstrap that renames pictures drawn twice."""
    right = RANDOM.random(240) < np.repeat(RANDOM.random(120), 2)
    scored = run(items(240, pictures=120), lambda index: right[index])
    resampler = Resampler(Pairs(), scored)
    assert not resampler.means
    halves = resampler.draw(scored)["Overall"]
    assert halves.shape == (1, MOST)
    drawn = []
    for _ in range(400):
        again = []
        for name, picture in enumerate(RANDOM.integers(0, 120, 120)):
            for one in scored[2 * picture : 2 * picture + 2]:
                again.append(
                    replace(one, item=Item(one.item.id, {**one.item.cells, "picture": f"{name}"}))
                )
        drawn.append(Pairs().figures(again)["Overall"])
    assert halves.std() == pytest.approx(np.std(drawn), rel=0.15)
    assert halves.mean() == pytest.approx(np.mean(drawn), abs=2)


def test_a_range_that_stays_is_not_computed_again() -> None:
    many = run(items(20_000, pictures=10_000), lambda index: index % 3 == 0)
    resampler = Resampler(Pairs(), many)
    halves = resampler._halves()
    assert len(halves) == FEWEST
    assert len(halves[0]) == 10_000
    assert resampler._range_stays(halves[:2])
    assert not Resampler(Points(), many)._range_stays(halves[:2])


@pytest.mark.parametrize("scorer", [Points(), PairPoints()])
def test_a_sum_is_drawn_on_the_scale_of_the_whole(scorer: Plain) -> None:
    each = 1 if isinstance(scorer, Points) else 2
    scored = run(items(300 * each, pictures=300), lambda index: index // each % 3 == 0)
    (points,) = figures(scorer, scored)
    assert (points.value, points.full) == (100, 300)
    assert points.high - points.low == pytest.approx(2 * 1.96 * math.sqrt(300 * 2 / 9), rel=0.15)
    assert points.low < 100 < points.high


def test_no_interval_is_empty_where_all_are_right() -> None:
    (overall,) = figures(Pairs(), run(items(20, pictures=10), lambda index: 1))
    assert overall.value == overall.high == 200
    assert overall.low == pytest.approx(200 * wilson(10, 10)[0])
    (overall,) = figures(Pairs(), run(items(2, pictures=1), lambda index: index))
    assert (overall.low, overall.high) == (0, 200)


def test_bounds_take_open_verdicts_as_wrong_and_as_right() -> None:
    scored = run(items(10), lambda index: index < 5)
    scored[0] = Scored(scored[0].item, Verdict(0.0, None, resolved=False))
    overall = figures(Plain(), scored)[0]
    assert (overall.least, overall.value, overall.most) == (40, 40, 50)
    settled = figures(Plain(), run(items(10), lambda index: index < 5))[0]
    assert settled.least == settled.value == settled.most


def test_rates_of_mistakes_and_of_what_is_neither() -> None:
    """A figure that falls as replies get better, and one that is 0 at both ends."""

    class Rates(Pairs):
        def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
            plus = super().figures(scored)["Overall"]
            half = [one.verdict.score for one in scored]
            return {
                "mistakes": 200 - plus,
                "mixed": 100 * float(np.mean(half) * (1 - np.mean(half))),
            }

    scored = run(items(200, pictures=100), lambda index: index % 3 == 0)
    scored[0] = Scored(scored[0].item, Verdict(0.0, None, resolved=False))
    mistakes, mixed = figures(Rates(), scored)
    assert (mistakes.full, mixed.full) == (200, 100)
    for figure in (mistakes, mixed):
        assert figure.low < figure.value < figure.high
        assert figure.least < figure.most
    assert mistakes.least < mistakes.value == mistakes.most


def test_a_figure_without_a_value_is_left_out() -> None:
    class Empty(Plain):
        def figures(self, scored):  # type: ignore[no-untyped-def]
            return {**super().figures(scored), "none": math.nan}

    names = [figure.name for figure in figures(Empty(), run(items(10), lambda index: 1))]
    assert names == ["Overall", "even", "odd"]


def test_the_same_verdicts_have_the_same_intervals() -> None:
    scored = run(items(40, pictures=20), lambda index: index % 3 == 0)
    for scorer in (Plain(), Pairs()):
        assert figures(scorer, scored) == figures(scorer, scored)


def test_paired_runs_differ_less_than_strangers() -> None:
    right = RANDOM.random(400) < 0.6
    first = run(items(400), lambda index: right[index])
    second = run(items(400), lambda index: right[index] or index % 40 == 0)
    found = compare(Plain(), first, second)
    overall = found.differences[0]
    assert overall.value == pytest.approx(overall.second - overall.first)
    assert 0 < overall.low < overall.value < overall.high < 3
    assert found.only_first == 0
    assert found.chance == mcnemar(0, found.only_second)
    alone = figures(Plain(), first)[0]
    assert overall.high - overall.low < (alone.high - alone.low) / 2


def test_equal_runs_do_not_differ() -> None:
    scored = run(items(40, pictures=20), lambda index: index % 3 == 0)
    for scorer in (Plain(), Pairs()):
        found = compare(scorer, scored, scored)
        assert [(d.value, d.low, d.high, d.chance) for d in found.differences] == [
            (0, 0, 0, 1)
        ] * len(found.differences)
        assert (found.only_first, found.only_second, found.chance) == (0, 0, 1)


def test_runs_are_compared_over_what_they_share() -> None:
    first = run(items(30), lambda index: 1)
    second = run(items(20), lambda index: 0)
    assert compare(Plain(), first, second).samples == 20
    with pytest.raises(ValueError, match="no items in common"):
        compare(Plain(), first[20:], second)
    one = compare(Pairs(), run(items(2, 1), int), run(items(2, 1), lambda index: 1))
    assert (one.differences[0].low, one.differences[0].high) == (-200, 200)
