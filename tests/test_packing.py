"""Packs: nothing lost, caps kept, waiting bounded, resumable anywhere, full and balanced."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.packing import Item, Pack, Packer, Packing, Summary

LENGTH = 100


def packer_of(items: list[Item], packing: Packing) -> Packer:
    return Packer(packing, lambda position: (item for item in items if item.position >= position))


def spec_mix(number: int, seed: int = 0) -> list[Item]:
    """Pictures of 0 to 11 tiles of 256 tokens with short texts."""
    rng = np.random.default_rng(seed)
    visual = rng.integers(0, 12, number) * 256
    length = visual + rng.lognormal(np.log(180), 0.8, number).astype(int) + 16
    pairs = np.stack([length, visual], axis=1).tolist()
    return [Item(i, *pair) for i, pair in enumerate(pairs)]


@st.composite
def streams(draw: st.DrawFn, visual_cap: int = LENGTH) -> list[Item]:
    """Items whose positions may leave gaps."""
    sizes = st.tuples(st.integers(1, LENGTH), st.integers(0, visual_cap), st.integers(1, 3))
    items, position = [], 0
    for length, visual, gap in draw(st.lists(sizes, max_size=120)):
        items.append(Item(position, length, min(visual, length)))
        position += gap
    return items


packings = st.builds(
    Packing,
    length=st.just(LENGTH),
    visual=st.sampled_from([None, 60]),
    ranks=st.integers(1, 4),
    buffer=st.integers(1, 12),
    max_age=st.integers(0, 5),
)


@settings(max_examples=150, deadline=None)
@given(streams(visual_cap=60), packings)
def test_every_sample_comes_once_within_the_caps(items: list[Item], packing: Packing) -> None:
    steps = list(packer_of(items, packing))
    assert sorted(item for step in steps for pack in step for item in pack) == items
    for step in steps:
        assert len(step) == packing.ranks
        assert any(step)
        for pack in step:
            assert sum(item.length for item in pack) <= LENGTH
            assert sum(item.visual for item in pack) <= packing.visual_cap
            assert list(pack) == sorted(pack)


@settings(max_examples=150, deadline=None)
@given(streams(visual_cap=60), packings)
def test_no_sample_waits_longer_than_promised(items: list[Item], packing: Packing) -> None:
    packer = packer_of(items, packing)
    most = 0
    born: dict[int, int] = {}
    waited = 0
    while True:
        step = next(packer, None)
        if step is None:
            break
        state = packer.state_dict()
        packed = [item.position for pack in step for item in pack]
        waiting = [row[0] for row in state["buffer"]]
        for position in packed + waiting:
            born.setdefault(position, packer.step - 1)
        most = max(most, len(packed) + len(waiting))
        waited = max([waited, *(packer.step - 1 - born[position] for position in packed)])
    assert waited == packer.oldest
    assert waited <= packing.max_age + -(-most // packing.ranks)


@settings(max_examples=100, deadline=None)
@given(streams(visual_cap=60), packings, st.integers(0, 8))
def test_a_resumed_packer_goes_on_as_if_never_stopped(
    items: list[Item], packing: Packing, stop: int
) -> None:
    whole = list(packer_of(items, packing))
    first = packer_of(items, packing)
    begun = list(islice(first, stop))
    state = json.loads(json.dumps(first.state_dict()))
    second = packer_of(items, packing)
    second.load_state_dict(state)
    assert second.oldest == first.oldest
    assert begun + list(second) == whole
    assert list(first) == whole[len(begun) :], "saving must not disturb"
    first.load_state_dict(state)
    assert list(first) == whole[len(begun) :], "a packer can be set back"


def test_a_resumed_packer_asks_for_the_stream_where_it_stopped() -> None:
    items, asked = spec_mix(300), []

    def items_from(position: int):
        asked.append(position)
        return iter(items[position:])

    packer = Packer(Packing(8192, ranks=2, buffer=16), items_from)
    next(packer)
    state = packer.state_dict()
    again = Packer(packer.packing, items_from)
    again.load_state_dict(state)
    next(again)
    assert asked == [0, state["next"]]
    assert 16 * 2 <= state["next"] < 300


def test_full_and_balanced_on_the_synthetic_mix() -> None:
    steps = list(packer_of(spec_mix(12_000), Packing(8192, ranks=8)))
    summary = Summary.of(steps, 8192)
    assert summary.samples == 12_000
    assert summary.useful >= 0.97
    assert summary.imbalance <= 1.05
    # The mean of the steps' own ratios, too; the last steps have little to choose from.
    loads = [[sum(item.visual for item in pack) for pack in step] for step in steps[:-3]]
    assert np.mean([max(row) * 8 / sum(row) for row in loads]) <= 1.05


def test_old_samples_are_forced_in_though_no_two_fit_together() -> None:
    odd = [Item(i, LENGTH, 20 + i) for i in range(40)]
    items = odd + [Item(i, 10, 5) for i in range(40, 1000)]
    steps = packer_of(items, Packing(LENGTH, ranks=4, buffer=40, max_age=3))
    numbers = [sum(pack[0] in odd for pack in step if pack) for step in steps]
    assert numbers[:14] == [1, 1, 1, *[4] * 9, 1, 0]


def test_old_samples_are_forced_in_at_the_end_of_the_stream() -> None:
    items = [Item(0, 5, 5)] + [Item(i, 6, 6) for i in range(1, 13)]
    packer = packer_of(items, Packing(LENGTH, visual=10, max_age=3))
    order = [step[0][0].position for step in packer]
    assert order == [1, 2, 3, 0, *range(4, 13)]


def test_the_last_step_takes_the_longest_first() -> None:
    items = [Item(i, length) for i, length in enumerate((40, 50, 50, 60))]
    assert len(list(packer_of(items, Packing(LENGTH, ranks=2)))) == 1


def test_long_texts_wait_for_one_another() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.choice(2, 6000, p=[0.9, 0.1]).tolist()
    items = [Item(i, *((1000, 900), (7000, 0))[kind]) for i, kind in enumerate(kinds)]
    steps = list(packer_of(items, Packing(8192, ranks=8)))
    texts = [sum(item.length == 7000 for pack in step for item in pack) for step in steps]
    assert sum(number not in (0, 8) for number in texts) <= 2, "on every rank or on none"
    assert Summary.of(steps, 8192).imbalance < 1.01


def test_very_short_samples_still_fill_packs() -> None:
    items = [Item(i, 1 + i % 9, i % 2) for i in range(20_000)]
    summary = Summary.of(list(packer_of(items, Packing(1000, ranks=2, buffer=8)))[:-1], 1000)
    assert summary.useful > 0.97


def test_without_pictures_load_is_equal() -> None:
    steps = list(packer_of([Item(i, 10) for i in range(95)], Packing(LENGTH, ranks=2, buffer=40)))
    assert Summary.of(steps, LENGTH) == Summary(5, 95, 0.95, 1.0)
    assert Summary.of([], LENGTH) == Summary(0, 0, 1.0, 1.0)


def test_the_last_step_is_shared_by_the_ranks() -> None:
    packer = packer_of([Item(i, 20, 10) for i in range(8)], Packing(LENGTH, ranks=4))
    (step,) = packer
    assert [len(pack) for pack in step] == [2, 2, 2, 2]


def test_summary_by_hand() -> None:
    steps: list[list[Pack]] = [
        [(Item(0, 50, 30), Item(1, 30, 10)), (Item(2, 100, 20),)],
        [(), (Item(3, 60, 0),)],
    ]
    assert Summary.of(steps, LENGTH) == Summary(2, 4, 240 / 400, 80 / 60)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (Item(3, 101), "sample 3 has 101 tokens, a pack holds 100"),
        (Item(3, 90, 61), "sample 3 has 61 visual tokens, a pack holds 60"),
        (Item(3, 0), "sample 3: 0 tokens"),
        (Item(3, 10, 11), "11 of them visual"),
        (Item(3, 10, -1), "-1 of them visual"),
        (Item(1, 10), "sample 1 comes late"),
    ],
)
def test_a_sample_that_cannot_be_packed_is_named_and_the_others_are_kept(
    item: Item, reason: str
) -> None:
    items = [Item(0, 10), Item(1, 10), item, Item(4, 10)]
    packer = Packer(Packing(LENGTH, visual=60), lambda position: iter(items))
    with pytest.raises(ValueError, match=reason):
        next(packer)
    assert [item.position for item in next(packer)[0]] == [0, 1, 4]


def test_a_buffer_from_a_longer_packing_is_refused() -> None:
    packer = packer_of([Item(0, 90), Item(1, 95), Item(2, 99)], Packing(LENGTH))
    next(packer)
    with pytest.raises(ValueError, match="a pack holds 50"):
        packer_of([], Packing(50)).load_state_dict(packer.state_dict())


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 0},
        {"ranks": 0},
        {"buffer": 0},
        {"max_age": -1},
        {"visual": -1},
        {"length": 2**24},
    ],
)
def test_packing_refuses(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"packing: {next(iter(wrong))} must"):
        Packing(**{"length": LENGTH, **wrong})
