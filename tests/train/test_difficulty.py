"""Difficulty, mixes, and groups without news."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.train.difficulty import STRATEGIES, Labelled, difficulty, draw, informative


def records(**counts: int) -> list[Labelled]:
    """So many samples of each group, their domains taking turns."""
    found = []
    for group, count in counts.items():
        for number in range(count):
            domain = ("math", "ocr", "chart")[number % 3]
            own = group in ("video", "gui")
            found.append(
                Labelled(f"{group}{number}", group if own else domain, None if own else group)  # type: ignore[arg-type]
            )
    return found


POOL = records(easy=1200, medium=6300, hard=1200, video=1000, gui=300)


def test_difficulty_by_passes() -> None:
    assert [difficulty(passes, 8) for passes in (0, 1, 7, 8)] == [
        "hard",
        "medium",
        "medium",
        "easy",
    ]
    assert difficulty(1, 1) == "easy"


@pytest.mark.parametrize(("passes", "rollouts"), [(-1, 8), (9, 8), (0, 0)])
def test_impossible_passes(passes: int, rollouts: int) -> None:
    with pytest.raises(ValueError, match="rollouts"):
        difficulty(passes, rollouts)


def test_published_sizes() -> None:
    assert {name: strategy.size for name, strategy in STRATEGIES.items()} == {
        "S1": 76_000,
        "S2": 73_000,
        "S3": 25_000,
        "S4": 25_000,
    }


def test_published_ratios() -> None:
    first = Counter(record.group for record in draw(POOL, "S1"))
    assert first == {"medium": 6300, "video": 1000, "gui": 300}
    second = Counter(record.group for record in draw(POOL, "S2", size=730))
    assert second == {"easy": 120, "medium": 360, "hard": 120, "video": 100, "gui": 30}
    assert len(draw(POOL, "S2")) == 7300
    whole = records(easy=13_000, medium=63_000, hard=13_000, video=11_000, gui=3_500)
    assert len(draw(whole, "S2")) == 73_000


@given(st.integers(1, 7300))
def test_any_size_keeps_the_ratios(size: int) -> None:
    counts = Counter(record.group for record in draw(POOL, "S2", size=size))
    assert counts.total() == size
    for group, published in STRATEGIES["S2"].counts.items():
        assert abs(counts[group] - size * published / 73_000) < 1


def test_domains_are_balanced() -> None:
    counts = Counter(record.domain for record in draw(POOL, "S3", size=1300))
    assert counts == {"math": 260, "ocr": 260, "chart": 260, "video": 260, "gui": 260}
    counts = Counter(record.domain for record in draw(POOL, "S4", size=2300))
    assert counts == {"math": 500, "ocr": 500, "chart": 500, "video": 500, "gui": 300}
    assert len(draw(POOL, "S4")) == 7300


def test_a_mix_is_of_its_seed_and_not_of_the_order() -> None:
    first = draw(POOL, "S2", size=500, seed=1)
    assert draw(list(reversed(POOL)), "S2", size=500, seed=1) == first
    other = draw(POOL, "S2", size=500, seed=2)
    assert set(other) != set(first)
    assert len(set(first)) == 500
    assert [record.group for record in first] != sorted(record.group for record in first)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match=r"1200 hard.*largest has 7300"):
        draw(POOL, "S2", size=7301)
    with pytest.raises(ValueError, match="0 gui"):
        draw(records(easy=9, medium=9, hard=9, video=9), "S2")
    with pytest.raises(ValueError, match="S1, S2, S3, S4"):
        draw(POOL, "S5")
    with pytest.raises(ValueError, match="'x' has no difficulty"):
        draw([Labelled("x", "math")], "S1")


def test_groups_that_teach() -> None:
    groups = [[0.0] * 8, [1.0] * 8, [0.0] * 7 + [1.0], [1.0] * 7 + [0.0], [0.5, 0.5]]
    assert informative(groups) == [2, 3]
    assert informative([[0.0, 0.02], [0.96, 1.0]]) == [1]
    assert informative([[0.0, 0.03], [0.97, 1.0]], high=0.9) == [0]


def test_totals_are_measured_by_the_best() -> None:
    groups = [[2.0, 2.0], [2.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    assert informative(groups, best=2.0) == [1]
    with pytest.raises(ValueError, match=r"\[0, 1.0\]"):
        informative(groups)


@pytest.mark.parametrize("group", [[], [-0.1], [float("nan")]])
def test_impossible_rewards(group: list[float]) -> None:
    with pytest.raises(ValueError, match="rewards"):
        informative([group])
