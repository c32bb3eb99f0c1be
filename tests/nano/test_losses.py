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
from valley.nano.losses import Trainer, mark_tokens
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
    told = trainer.tell(seen, marks, 2)
    circle = table[tokenizer.encode(" circle")[0]] + table[tokenizer.encode(" red")[0]]
    torch.testing.assert_close(told[0, 0, 0], circle)
    torch.testing.assert_close(told[1, 0, 0], table[tokenizer.encode("q")[0]])
    assert torch.equal(told[2], seen[2])
    unknown = torch.from_numpy(np.full((3, 4, 4), 255, np.uint8))
    assert not trainer.tell(seen, unknown, 1)[0].any()


def test_alignment_falls_as_tokens_near_the_words(trainer: Trainer) -> None:
    marks = one_block("q")
    word = trainer.tell(torch.zeros(1, 1, 1, 256), marks, 1).view(1, 256).detach()
    far, near, nearer = (trainer.align(word * step, marks.view(-1, 4)) for step in (-1.0, 1.0, 9.0))
    assert nearer < near < far


def test_rates_and_shares_over_a_run() -> None:
    options = Options(steps=100, warmup=10, decay_from=0.5, told_until=0.4)
    rates = [rate_at(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == pytest.approx([1.0] * 41, abs=2e-3)
    assert all(later < earlier for earlier, later in pairwise(rates[50:]))
    assert told_at(0, options) == 0.5
    assert told_at(20, options) == pytest.approx(0.25)
    assert told_at(40, options) == told_at(99, options) == 0.0
