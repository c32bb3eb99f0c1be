"""The drawn pictures show what their answers say, and come again from the same seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from valley.data.synthetic.cards import PRICE_SIZE, card_sample, draw_card, random_facts
from valley.data.synthetic.clips import clip
from valley.data.synthetic.easy import easy_questions, easy_sample
from valley.data.synthetic.pages import page
from valley.data.synthetic.phrases import DECLINE
from valley.data.synthetic.pictures import unknown_picture
from valley.data.synthetic.sample import CHARS, COLOURS, KINDS, MARK_SLOTS, ROLES, Sample
from valley.data.synthetic.shapes import count_all, is_side, paint, places, shape_scene, where
from valley.data.synthetic.words import spelled, word_strip

GENERATORS: dict[str, tuple[Callable[..., Sample], tuple[int, int], int]] = {
    "word": (word_strip, (1, 9), 1),
    "page": (page, (4, 5), 1),
    "shape": (shape_scene, (4, 4), 1),
    "easy": (easy_sample, (3, 3), 1),
    "card": (card_sample, (8, 6), 1),
    "unknown": (unknown_picture, (4, 5), 1),
    "clip": (lambda rng, grid: clip(rng, grid, 6), (3, 3), 6),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_samples_are_whole_and_seeded(name: str) -> None:
    draw, grid, frames = GENERATORS[name]
    for seed in range(8):
        sample = draw(np.random.default_rng(seed), grid)
        again = draw(np.random.default_rng(seed), grid)
        assert len(sample.frames) == frames
        for frame, other in zip(sample.frames, again.frames, strict=True):
            assert frame.shape == (grid[0] * 28, grid[1] * 28, 3)
            assert frame.dtype == np.uint8
            assert np.array_equal(frame, other)
        assert sample.dialog == again.dialog
        assert sample.dialog
        assert all(turn.question and turn.answer for turn in sample.dialog)
        assert sample.marks.shape == (frames, grid[0] * 2, grid[1] * 2, MARK_SLOTS)
    one, two = (draw(np.random.default_rng(seed), grid) for seed in (1, 2))
    assert not np.array_equal(one.frames[0], two.frames[0])


def test_a_word_is_marked_letter_by_letter() -> None:
    """Reading the marks from left to right gives the word, as often as glyphs share no half."""
    right = 0
    for seed in range(30):
        sample = word_strip(np.random.default_rng(seed), (1, 9), scale=1.0)
        answer = sample.dialog[0][1]
        halves = sample.marks[0, :, :, :2].max(0).reshape(-1)
        read = "".join(CHARS[value - 1] for value in halves if value)
        orders = sample.marks[0, :, :, 4:6].max(0).reshape(-1)
        assert sorted(orders[halves > 0]) == list(range(1, len(read) + 1))
        right += read == answer
    assert right > 25


def test_a_moving_shape_moves_where_the_answer_says() -> None:
    steps = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
    seen = set()
    for seed in range(60):
        sample = clip(np.random.default_rng(seed), (3, 3), 6)
        answers = [turn.answer for turn in sample.dialog if turn.answer in steps]
        if not answers:
            continue
        kinds = sample.marks[..., 2]
        moved = []
        for kind in range(1, len(KINDS) + 1):
            places = [np.argwhere(frame == kind) for frame in kinds]
            if all(len(place) == 1 for place in places):
                moved.append((places[-1][0] - places[0][0])[::-1])
        dx, dy = steps[answers[0]]
        shifts = [turn.shift for turn in sample.dialog if turn.answer == answers[0]]
        assert all(shift and shift[0] * dx + shift[1] * dy > 0.05 for shift in shifts)
        travelled = [int(m[0] * dx + m[1] * dy) for m in moved if m.any()]
        if travelled:  # a shape of its own kind, whose mark is never hidden
            assert min(travelled) >= 1, (seed, answers, moved)
            seen.add(answers[0])
    assert seen == set(steps)


def test_counts_and_sides_are_those_of_the_things() -> None:
    rng = np.random.default_rng(0)
    sides = {"Left": (0, -1), "Right": (0, 1), "Above": (1, -1), "Below": (1, 1)}
    checked = 0
    for _ in range(40):
        _, _, things, _ = paint(rng, (5, 5), 4)
        assert count_all(rng, things)[1] == str(len(things))
        by_name = {f"{colour} {kind}": (x, y) for kind, colour, x, y in things}
        pair = where(rng, things)
        if pair is None or pair[1] == DECLINE:
            continue
        named = sorted((pair[0].index(name), name) for name in by_name if name in pair[0])
        if len(named) != 2:
            continue
        (_, first), (_, second) = named[:: -1 if pair[0].startswith("On which side of") else 1]
        axis, sign = sides[pair[1]]
        assert (by_name[first][axis] - by_name[second][axis]) * sign > 0, (pair, by_name)
        assert pair.shift == tuple(np.subtract(by_name[first], by_name[second]))
        checked += 1
        assert is_side(rng, things)[1] in ("Yes", "No")
    assert checked > 10


def test_a_shape_has_the_colour_of_its_name() -> None:
    image, _, things, _ = paint(np.random.default_rng(3), (6, 6), 3)
    for kind, colour, x, y in things:
        if kind in ("circle", "square", "diamond"):
            pixel = np.array(image.getpixel((x, y)), dtype=int)
            nearest = min(COLOURS, key=lambda name: np.abs(pixel - COLOURS[name]).sum())
            assert nearest == colour


def test_a_card_answers_what_it_shows_and_declines_the_rest() -> None:
    answers: list[str] = []
    for seed in range(20):
        dialog = card_sample(np.random.default_rng(seed), (8, 6), 9).dialog
        answers += [turn.answer for turn in dialog]
    assert any(answer.startswith("$") for answer in answers)
    assert any(answer.endswith("%") for answer in answers)
    assert DECLINE in answers
    assert {"Yes", "No"} & set(answers)


def test_no_text_of_a_card_is_larger_than_its_price() -> None:
    """Tall cards and wide ones, small ones too: what has no room is left out, the price never."""
    spelled_prices = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        facts = random_facts(rng)
        facts.price = "$128.50"
        card = draw_card(rng, [(2, 8), (6, 6), (12, 4), (4, 20)][seed % 4], facts, 1.0)
        assert facts.price == "$128.50"
        assert card.largest >= PRICE_SIZE
        marked = card.marks.array
        price = marked[marked[..., 6] == ROLES.index("price") + 1][:, 4:6]
        spelled_prices.append(sorted(int(order) for order in price.flatten() if order))
    assert spelled_prices == [list(range(1, 8))] * 40


def test_the_part_that_answers_is_spelled() -> None:
    assert spelled("-20% off", "discount", "20%") == [
        *[(0, "other"), (1, "discount"), (2, "discount"), (3, "discount")],
        *[(0, "other")] * 4,
    ]
    assert spelled("Red Cup", "title") == [
        *[(1, "title"), (2, "title"), (3, "title"), (0, "second")],
        *[(1, "second"), (2, "second"), (3, "second")],
    ]
    assert {order for order, _ in spelled("Sold out", "out of stock")} == {0}


def test_things_are_where_their_names_say() -> None:
    things = [("circle", "red", 10, 30), ("circle", "blue", 30, 10), ("star", "red", 20, 20)]
    found = places(things, (40, 40))
    assert found == {
        "red circle": (-0.25, 0.25),
        "blue circle": (0.25, -0.25),
        "star": (0.0, 0.0),
        "red star": (0.0, 0.0),
    }


def test_unknown_pictures_are_declined() -> None:
    for seed in range(10):
        dialog = unknown_picture(np.random.default_rng(seed), (4, 5)).dialog
        assert {turn.answer for turn in dialog} == {DECLINE}


def test_easy_vqa_keeps_its_splits() -> None:
    train, test = easy_questions("train"), easy_questions("test")
    assert (len(train), len(test)) == (4000, 1000)
    assert not {path for path, _ in train} & {path for path, _ in test}
    with Image.open(test[0][0]) as image:
        assert image.size == (64, 64)
