"""What teaches nano besides the answers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from valley.data.synthetic.sample import Marks
from valley.model.files import NANO
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.losses import Trainer, mark_tokens, shape_places
from valley.nano.shape import nano_config
from valley.nano.train import Options, rate_at, told_at


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    names = ("<|im_end|>", "<|endoftext|>", "<|image_pad|>")
    ids = {name: tokenizer.encode(name)[0] for name in names}
    torch.manual_seed(0)
    model = Valley2_5ForConditionalGeneration(nano_config(len(tokenizer), ids))
    return Trainer(model, mark_tokens(tokenizer))


def one_block(draw: str) -> torch.Tensor:
    """Marks of a picture of one block: (1, 4 patches, 4 slots)."""
    marks = Marks((28, 28), (1, 1))
    if draw == "circle":
        marks.shape("circle", "red", 5, 5)
    else:
        marks.glyph(draw, 5, 5)
    return torch.from_numpy(marks.array.reshape(1, 4, 4).copy())


def test_told_pictures_are_the_words_for_what_they_show(trainer: Trainer) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    table = trainer.model.model.language_model.embed_tokens.weight
    seen = torch.randn(3, 1, 1, 256)
    marks = torch.cat([one_block("circle"), one_block("q"), one_block("x")])
    nowhere = torch.zeros(3, 4, 2)
    told = trainer.tell(seen, marks, nowhere, 2)
    circle = table[tokenizer.encode(" circle")[0]] + table[tokenizer.encode(" red")[0]]
    torch.testing.assert_close(told[0, 0, 0], circle)
    torch.testing.assert_close(told[1, 0, 0], table[tokenizer.encode("q")[0]])
    assert torch.equal(told[2], seen[2])
    unknown = torch.from_numpy(np.full((3, 4, 4), 255, np.uint8))
    assert not trainer.tell(seen, unknown, nowhere, 1)[0].any()


def test_alignment_falls_as_tokens_near_the_words(trainer: Trainer) -> None:
    marks = one_block("q")
    held, places = torch.zeros(4, dtype=torch.bool), torch.zeros(4, 2)
    word = trainer.tell(torch.zeros(1, 1, 1, 256), marks, places[None], 1).view(1, 256).detach()
    steps = [word * size for size in (-1.0, 1.0, 9.0)]
    far, near, nearer = (trainer.align(x, marks.view(-1, 4), held, places) for x in steps)
    assert nearer < near < far


def two_shapes() -> torch.Tensor:
    """Marks of one picture of one row of two blocks, a shape at either end: (1, 8, 4)."""
    marks = Marks((56, 28), (1, 2))
    marks.shape("circle", "red", 7, 7)
    marks.shape("star", "blue", 49, 21)
    return torch.from_numpy(marks.array.reshape(2, 2, 2, 4).transpose(1, 0, 2, 3).reshape(1, 8, 4))


def test_places_are_told_from_the_middle_of_all_shapes() -> None:
    held, places = shape_places(two_shapes(), (1, 2))
    assert held[0].nonzero().flatten().tolist() == [0, 7]
    torch.testing.assert_close(places[0, 0], torch.tensor([-0.375, -0.25]))
    torch.testing.assert_close(places[0, 7], torch.tensor([0.375, 0.25]))
    assert not places[0, 1:7].any()
    letters, nothing = shape_places(one_block("q"), (1, 1))
    assert not letters.any() and not nothing.any()


def test_places_are_told_and_learnt_along_the_axes(trainer: Trainer) -> None:
    marks = two_shapes()
    held, places = shape_places(marks, (1, 2))
    words = trainer.tell(torch.zeros(1, 1, 2, 256), marks, places * 0, 1)
    told = trainer.tell(torch.zeros(1, 1, 2, 256), marks, places, 1)
    found = (told - words)[0, 0] @ trainer.axes.T
    torch.testing.assert_close(found, torch.tensor([[-0.375, -0.25], [0.375, 0.25]]))
    right, wrong = (
        trainer.align((told - words)[0, 0] * sign, marks[0], held[0], places[0])
        for sign in (1.0, -1.0)
    )
    assert right < wrong


def test_rates_and_shares_over_a_run() -> None:
    options = Options(steps=100, warmup=10, decay_from=0.5, told_until=0.4)
    rates = [rate_at(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == pytest.approx([1.0] * 41, abs=2e-3)
    assert all(later < earlier for earlier, later in pairwise(rates[50:]))
    assert told_at(0, options) == 0.5
    assert told_at(20, options) == pytest.approx(0.25)
    assert told_at(40, options) == told_at(99, options) == 0.0
