"""Mixing: shares, permutations, replay, and every position from the seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.mixing import Mixture, Source, permuted

sources = st.lists(
    st.builds(Source, st.integers(1, 40), st.none() | st.floats(0.05, 20)), min_size=1, max_size=6
)


@settings(max_examples=100, deadline=None)
@given(sources, st.integers(0, 2**40), st.integers(0, 400))
def test_any_position_is_a_function_of_the_seed(given_: list[Source], seed: int, at: int) -> None:
    mixture = Mixture(given_, seed)
    walked = list(islice(mixture.walk(0), at + 20))
    assert list(islice(Mixture(given_, seed).walk(at), 20)) == walked[at:]
    assert [mixture[i] for i in range(at, at + 20)] == walked[at:]


@settings(max_examples=100, deadline=None)
@given(sources, st.integers(0, 2**40))
def test_shares_hold_at_every_moment(given_: list[Source], seed: int) -> None:
    weights = [source.size if source.weight is None else source.weight for source in given_]
    counts: Counter[int] = Counter()
    for number, (source, _) in enumerate(islice(Mixture(given_, seed).walk(0), 300), 1):
        counts[source] += 1
        for other, weight in enumerate(weights):
            # Each source is within one of its share of the time, and the time within all of these.
            share = number * weight / sum(weights)
            assert abs(counts[other] - share) <= 1 + len(given_) * weight / sum(weights) + 1e-6


@settings(max_examples=60, deadline=None)
@given(sources, st.integers(0, 2**40))
def test_no_sample_comes_again_before_all_came(given_: list[Source], seed: int) -> None:
    seen: dict[int, list[int]] = {number: [] for number in range(len(given_))}
    for source, sample in islice(Mixture(given_, seed).walk(0), 500):
        seen[source].append(sample)
    for number, samples in seen.items():
        size = given_[number].size
        for start in range(0, len(samples), size):
            part = samples[start : start + size]
            assert len(set(part)) == len(part)
            assert set(part) <= set(range(size))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 2**40))
def test_by_default_an_epoch_is_every_sample_once(sizes: list[int], seed: int) -> None:
    mixture = Mixture([Source(size) for size in sizes], seed)
    expected = [(number, i) for number, size in enumerate(sizes) for i in range(size)]
    assert sorted(mixture) == expected
    assert len(mixture) == len(expected)


def test_seeds_rounds_and_sources_differ_in_order() -> None:
    def order(seed: int, source: int, turn: int) -> list[int]:
        walk = islice(Mixture([Source(50), Source(50)], seed).walk(0), 200)
        return [sample for origin, sample in walk if origin == source][50 * turn : 50 * turn + 50]

    orders = [order(*place) for place in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert all(sorted(one) == list(range(50)) for one in orders)
    assert len({tuple(one) for one in orders}) == 4
    assert list(range(50)) not in orders


def test_the_order_is_the_same_for_ever() -> None:
    mixture = Mixture([Source(10), Source(5, weight=5), Source(3, replay=True)], 7, replay=0.25)
    assert list(islice(mixture.walk(0), 12)) == [
        *((2, 2), (0, 6), (0, 8), (1, 0), (2, 0), (0, 7)),
        *((0, 1), (1, 4), (1, 1), (0, 5), (0, 0), (2, 1)),
    ]
    assert mixture[10**9] == (0, 9)


def test_replay_has_its_share() -> None:
    mixture = Mixture([Source(300), Source(100), Source(5, replay=True)], 3, replay=0.2)
    assert len(mixture) == 500
    counts = Counter(source for source, _ in mixture)
    assert [counts[i] for i in range(3)] == pytest.approx([300, 100, 100], abs=2)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**64 - 1))
def test_permuted_is_a_permutation(size: int, key: int) -> None:
    assert sorted(permuted(i, size, key) for i in range(size)) == list(range(size))


def test_permutations_put_every_sample_everywhere() -> None:
    keys, size = 2000, 10
    counts = Counter((i, permuted(i, size, key)) for key in range(keys) for i in range(size))
    # Expected 200 each; six standard deviations are 80.
    assert len(counts) == size * size
    assert 120 < min(counts.values()) <= max(counts.values()) < 280


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: Source(0), "at least one sample"),
        (lambda: Source(1, 0), "a weight must be positive"),
        (lambda: Source(1, float("nan")), "a weight must be positive"),
        (lambda: Mixture([]), "at least one source"),
        (lambda: Mixture([Source(1, replay=True)], replay=0.5), "not replayed"),
        (lambda: Mixture([Source(1)], replay=0.5), "0 sources are marked as replay"),
        (lambda: Mixture([Source(1), Source(1, replay=True)]), "1 sources are marked as replay"),
        (lambda: Mixture([Source(1)], replay=1.0), r"a share in \[0, 1\)"),
        (lambda: Mixture([Source(1)])[-1], "must not be negative"),
    ],
)
def test_mixing_refuses(call, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()
