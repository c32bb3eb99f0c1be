"""What a block shows can be read off its code."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from valley.data.synthetic.sample import (
    CHARS,
    COLOURS,
    KINDS,
    MARK_SLOTS,
    PICTURE,
    ROLES,
    UNKNOWN,
    Marks,
)
from valley.model.files import NANO
from valley.nano.codes import FAINT, PATCHES, SPREAD, Codes, order_waves, shape_places
from valley.nano.losses import NOISE


@pytest.fixture(scope="module")
def codes() -> Codes:
    return Codes(256)


def blocks(marks: Marks) -> torch.Tensor:
    """Marks of one picture, the four patches of a block in a row: (1, patches, 4)."""
    rows, columns = (side // 2 for side in marks.array.shape[:2])
    array = marks.array.reshape(rows, 2, columns, 2, MARK_SLOTS).transpose(0, 2, 1, 3, 4)
    return torch.from_numpy(array.reshape(1, -1, MARK_SLOTS).copy())


def two_shapes() -> torch.Tensor:
    """One row of two blocks, a shape at either end."""
    marks = Marks((56, 28), (1, 2))
    marks.shape("circle", "red", 7, 7)
    marks.shape("star", "blue", 49, 21)
    return blocks(marks)


def word(text: str, role: str = "word") -> torch.Tensor:
    """Up to eight characters along the upper patches of two blocks."""
    marks = Marks((56, 28), (1, 2))
    for index, char in enumerate(text):
        marks.glyph(char, 7 * index + 3, 5, index + 1, role)
    return blocks(marks)


def test_the_order_of_characters_can_be_read(codes: Codes) -> None:
    """The nearest code of all orders of the same characters is the right one, in noise too."""
    words = ["".join(chars) for chars in permutations("abc7")]
    told = torch.cat([codes(word(text), (1, 2)) for text in words])[:, 0]
    heard = told + 2 * NOISE * torch.randn(told.shape, generator=torch.Generator().manual_seed(0))
    assert torch.cdist(heard, told).argmin(-1).tolist() == list(range(len(words)))


def halves_of(codes: Codes, told: torch.Tensor, table: torch.Tensor) -> list[int]:
    """The nearest entry of a table, from 1, at each of the eight places of one block."""
    scores = torch.einsum("w,hcw->hc", told - codes.ground, table[:, 1:])
    return (scores.argmax(-1) + 1).tolist()


def test_each_place_of_a_block_tells_its_character_and_its_number(codes: Codes) -> None:
    told = codes(word("lantern5"), (1, 2))[0]
    read = [halves_of(codes, block, codes.chars)[:4] for block in told]
    assert "".join(CHARS[index - 1] for block in read for index in block) == "lantern5"
    numbers = [halves_of(codes, block, codes.orders)[:4] for block in told]
    assert numbers == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_near_numbers_have_near_codes() -> None:
    waves = order_waves()
    assert not waves[0].any()
    torch.testing.assert_close(waves[1:].norm(dim=-1), torch.ones(len(waves) - 1))
    likeness = waves[5] @ waves[1:].T
    assert likeness.argmax() == 4
    assert sorted(likeness.topk(3).indices.tolist()) == [3, 4, 5]


def test_characters_that_are_not_to_be_spelled_are_not_told(codes: Codes) -> None:
    marks = Marks((28, 28), (1, 1))
    marks.glyph("x", 7, 7, 0, "other")
    told = codes(blocks(marks), (1, 1))[0, 0] - codes.ground
    torch.testing.assert_close(told, codes.upper[ROLES.index("other") + 1])


def test_a_text_is_told_with_what_it_is_for(codes: Codes) -> None:
    price, plain = (codes(word("$5", role), (1, 2))[0, 0] for role in ("price", "word"))
    there = codes.upper[[ROLES.index("price") + 1, ROLES.index("word") + 1]]
    torch.testing.assert_close(price - plain, there[0] - there[1])


def test_a_lower_line_is_told_apart_from_an_upper_one(codes: Codes) -> None:
    marks = Marks((28, 28), (1, 1))
    marks.glyph("$", 3, 5, 1, "price")
    marks.glyph("a", 3, 20, 1, "title")
    told = codes(blocks(marks), (1, 1))[0, 0] - codes.ground
    assert (codes.upper[1:] @ told).argmax() == ROLES.index("price")
    assert (codes.lower[1:] @ told).argmax() == ROLES.index("title")
    read = halves_of(codes, told + codes.ground, codes.chars)
    assert (CHARS[read[0] - 1], CHARS[read[4] - 1]) == ("$", "a")


def test_directions_stand_at_right_angles(codes: Codes) -> None:
    rows = [codes.ground[None], codes.axes, codes.upper[1:], codes.lower[1:], codes.colours[1:]]
    rows += [codes.chars[3, 1:], codes.chars[4, 1:], codes.orders[3, 1:], codes.orders[4, 1:]]
    for index, one in enumerate(rows):
        for other in rows[:index]:
            assert (one @ other.T).abs().max() < 1e-5


def test_characters_that_look_alike_get_near_codes() -> None:
    codes, generator = Codes(256), torch.Generator().manual_seed(3)
    readings = torch.randn(len(CHARS), 40, generator=generator)
    twin = CHARS.index("1")
    readings[twin] = readings[0] + 0.1 * torch.randn(40, generator=generator)
    before = codes.alphabet.clone()
    codes.take_alphabet(readings)
    torch.testing.assert_close(codes.alphabet.norm(dim=-1), torch.ones(len(CHARS)))
    likeness = codes.alphabet @ codes.alphabet[0]
    assert likeness.topk(2).indices.tolist() == [0, twin]
    assert before[0] @ before[twin] < 0.8
    # What tells characters apart along few directions is kept whole.
    flat = torch.randn(len(CHARS), 4, generator=generator) @ torch.randn(4, 40)
    codes.take_alphabet(flat)
    fit = torch.linalg.lstsq(codes.alphabet, flat - flat.mean(0))
    scale = (flat - flat.mean(0)).norm()
    assert (codes.alphabet @ fit.solution - (flat - flat.mean(0))).norm() < 0.7 * scale


def test_tokens_are_misread_where_they_are_not_the_codes(codes: Codes) -> None:
    marks = word("lantern5")
    told = codes(marks, (1, 2))
    loss, figures = codes.misread(told, marks)
    none = {"shaped": (0, 0), "coloured": (0, 0)}
    assert figures == {"read": (8, 8), "numbered": (8, 8)} | none
    blank, _ = codes.misread(codes.ground.expand_as(told), marks)
    assert loss < 0.5 < blank
    other, figures = codes.misread(codes(word("nretnal5"), (1, 2)), marks)
    assert figures["numbered"] == (8, 8)
    assert figures["read"] == (2, 8)
    assert other > blank


def test_shapes_are_misread_by_kind_and_by_colour(codes: Codes) -> None:
    marks = two_shapes()
    told = codes(marks, (1, 2))
    loss, figures = codes.misread(told, marks)
    assert (figures["shaped"], figures["coloured"]) == ((2, 2), (2, 2))
    red, blue = (codes.colours[list(COLOURS).index(name) + 1] for name in ("red", "blue"))
    swapped = told + torch.stack([blue - red, red - blue])
    other, figures = codes.misread(swapped, marks)
    assert (figures["shaped"], figures["coloured"]) == ((2, 2), (0, 2))
    assert other > loss + 1
    product = Marks((56, 28), (1, 2))
    product.picture((0, 0, 56, 28))
    _, figures = codes.misread(told, blocks(product))
    assert (figures["shaped"], figures["coloured"]) == ((0, 0), (0, 0))


def test_what_is_told_unsurely_is_fainter(codes: Codes) -> None:
    """Each character by a strength of its own, which is FAINT on average."""
    marks = word("lantern5").expand(400, -1, -1)
    torch.manual_seed(0)
    told = codes(marks, (1, 2), unsure=1.0)
    exact = codes(marks, (1, 2))
    letters = [CHARS.index(char) + 1 for char in "lant"]
    for rows in (codes.chars[range(4), letters], codes.orders[range(4), range(1, 5)]):
        strength = (told - codes.ground)[:, 0] @ rows.T / rows.square().sum(-1)
        torch.testing.assert_close(strength.mean(0), torch.full((4,), FAINT), atol=0.05, rtol=0)
        assert strength.std(0).min() > 0.1
        assert torch.corrcoef(strength.T).sub(torch.eye(4)).abs().max() < 0.2
    half = codes(marks, (1, 2), unsure=0.5)
    assert (half - exact).norm() < 0.7 * (told - exact).norm()
    assert torch.equal(codes(marks, (1, 2)), exact)


def test_what_is_told_unsurely_of_shapes_stands_next_to_them_too(codes: Codes) -> None:
    marks = torch.zeros(900, 9 * PATCHES, MARK_SLOTS, dtype=torch.uint8)
    marks[:, 4 * PATCHES, 2:4] = torch.tensor([KINDS.index("star") + 1, 1])
    torch.manual_seed(0)
    told = codes(marks, (3, 3), unsure=1.0) - codes.ground
    there = told @ codes.colours[1] / codes.colours[1].square().sum() / FAINT
    beside = there[:, [1, 3, 5, 7]]
    assert (beside > 1e-6).sum(1).max() == 1
    assert not there[:, [0, 2, 6, 8]].any()
    torch.testing.assert_close(beside.mean(0), torch.full((4,), SPREAD / 8), atol=0.03, rtol=0)
    corner = codes(marks.roll(-4 * PATCHES, 1), (3, 3), unsure=1.0) - codes.ground
    assert not (corner @ codes.colours[1])[:, [2, 4, 5, 6, 7, 8]].any()


def test_a_shape_is_told_with_kind_colour_and_place(codes: Codes) -> None:
    told = codes(two_shapes(), (1, 2))[0] - codes.ground
    for row, kind, colour, place in (
        (told[0], "circle", "red", (-0.375, -0.25)),
        (told[1], "star", "blue", (0.375, 0.25)),
    ):
        assert KINDS[int((codes.kinds[1:PICTURE] @ row).argmax())] == kind
        assert list(COLOURS)[int((codes.colours[1:] @ row).argmax())] == colour
        rest = row - codes.kinds[KINDS.index(kind) + 1]
        rest = rest - codes.colours[list(COLOURS).index(colour) + 1]
        torch.testing.assert_close(rest, torch.tensor(place) @ codes.axes)


def test_places_count_from_the_middle_of_the_picture() -> None:
    held, places = shape_places(two_shapes(), (1, 2))
    assert held[0].nonzero().flatten().tolist() == [0, 7]
    torch.testing.assert_close(places[0, 0], torch.tensor([-0.375, -0.25]))
    torch.testing.assert_close(places[0, 7], torch.tensor([0.375, 0.25]))
    assert not places[0, 1:7].any()
    letters, nothing = shape_places(word("q"), (1, 2))
    assert not letters.any()
    assert not nothing.any()


def test_pictures_have_no_place_and_unknown_marks_no_code(codes: Codes) -> None:
    marks = Marks((28, 28), (1, 1))
    marks.picture((0, 0, 28, 28))
    held, _ = shape_places(blocks(marks), (1, 1))
    assert not held.any()
    told = codes(blocks(marks), (1, 1))[0, 0] - codes.ground
    torch.testing.assert_close(told, 4 * codes.kinds[PICTURE])
    unknown = torch.from_numpy(np.full((1, 4, MARK_SLOTS), UNKNOWN, np.uint8))
    unknown[..., 2] = 0
    torch.testing.assert_close(codes(unknown, (1, 1))[0, 0], codes.ground)


def test_codes_are_the_same_for_everyone(codes: Codes) -> None:
    torch.manual_seed(99)
    assert torch.equal(Codes(256).chars, codes.chars)
    assert list(codes.state_dict()) == ["alphabet"]


def test_words_get_the_directions_of_their_codes(codes: Codes) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    embedding = torch.nn.Embedding(len(tokenizer), 256)
    before = embedding.weight.detach().clone()
    codes.name(embedding, tokenizer)
    q = codes.alphabet[CHARS.index("q")] @ codes.words
    length = before.norm(dim=-1).mean()
    for name, code in (("q", q), (" red", codes.colours[1])):
        row = embedding.weight[tokenizer.encode(name)[0]]
        plain = row - (row @ codes.text) * codes.text - (row @ codes.letter) * codes.letter
        assert 0.6 < torch.cosine_similarity(plain, code, dim=0) < 0.8
        assert 12 < plain.norm() < 20
    # What all tokens share, and what only those share between which characters are counted.
    shared = (embedding.weight - before)[tokenizer.encode("?")[0]]
    torch.testing.assert_close(shared, 0.75 * length * codes.text, atol=0.2, rtol=0.0)
    kept = [tokenizer.encode(letter)[0] for letter in "aq7$\n"]
    letters = embedding.weight[kept] @ codes.letter
    others = embedding.weight[[i for i in range(len(tokenizer)) if i not in kept]] @ codes.letter
    assert letters.mean() > 0.7 * length > 5 * others.median().abs()
