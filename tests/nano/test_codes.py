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
from valley.nano.codes import Codes, shape_places
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


def test_the_sum_over_blocks_spells_a_word(codes: Codes) -> None:
    told = (codes(word("lantern5"), (1, 2))[0] - codes.ground).sum(0)
    orders = codes.chars[1:9, 1:]
    assert "".join(CHARS[int(i)] for i in (orders @ told).argmax(-1)) == "lantern5"


def test_a_text_is_told_with_what_it_is_for(codes: Codes) -> None:
    price, plain = (codes(word("$5", role), (1, 2))[0, 0] for role in ("price", "word"))
    there = codes.roles[[ROLES.index("price") + 1, ROLES.index("word") + 1]]
    torch.testing.assert_close(price - plain, there[0] - there[1])


def test_directions_stand_at_right_angles(codes: Codes) -> None:
    rows = [codes.ground[None], codes.axes, codes.roles[1:], codes.colours[1:]]
    rows += [codes.chars[3, 1:], codes.chars[4, 1:]]
    for index, one in enumerate(rows):
        for other in rows[:index]:
            assert (one @ other.T).abs().max() < 1e-5


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
    assert not any(name.startswith("chars") for name in codes.state_dict())


def test_words_get_the_directions_of_their_codes(codes: Codes) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    embedding = torch.nn.Embedding(len(tokenizer), 256)
    before = embedding.weight.detach().clone()
    codes.name(embedding, tokenizer)
    for name, code in (("q", codes.letters[CHARS.index("q")]), (" red", codes.colours[1])):
        row = embedding.weight[tokenizer.encode(name)[0]]
        assert torch.cosine_similarity(row, code, dim=0) > 0.999
        assert 14 < row.norm() < 18
    same = tokenizer.encode("?")[0]
    assert torch.equal(embedding.weight[same], before[same])
