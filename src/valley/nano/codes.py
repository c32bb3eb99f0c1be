"""What a picture shows as vectors: one fixed code for each thing that a block can hold.

Tower and decoder of the embedded model learn apart before they learn together: the tower to turn a
picture into these codes, the decoder to answer from them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valley.data.synthetic.sample import (
    CHARS,
    COLOURS,
    KINDS,
    LONGEST,
    PICTURE,
    PLURALS,
    ROLES,
    THINGS,
    UNKNOWN,
)

PATCHES = 4
"""Patches of a block, row by row; each has marks for a left and a right character."""
HALVES = 2 * PATCHES
"""Places for a character in a block: the left and right halves of its patches."""
LETTER_WIDTH = 16
"""Of the subspace that tells one character: less than there are characters."""
SHARPNESS = 40.0
"""Of the choice between the codes of characters or numbers; an exact code scores a quarter."""
WAVES = 3
"""Frequencies that tell a character's number in its text; near numbers have near codes."""
FAINT = 0.7
"""Mean strength at which a tower that is not sure tells a thing."""
SURE = 5.0
"""How close to the mean the strengths are: the two parameters of their beta distribution add up."""
SPREAD = 0.9
"""At most so much of a shape stands in a neighbouring block too; half of it on average."""
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""To neighbouring blocks (down, right)."""


def order_waves() -> Tensor:
    """(LONGEST + 1, 2 WAVES): unit vectors for the numbers from 1, zero for no number."""
    turns = 2 * torch.pi / (LONGEST + 1) * torch.arange(LONGEST + 1)[:, None]
    angles = turns * torch.arange(1, WAVES + 1)
    return torch.cat([angles.cos(), angles.sin()], -1) / WAVES**0.5 * (turns > 0)


def shape_places(marks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which patches hold a shape's centre, and how far it lies from the picture's middle.

    marks: uint8 (pictures, patches, MARK_SLOTS), the four patches of a block in a row; grid:
    (rows, columns) of blocks. Returns bool (pictures, patches) and (pictures, patches, 2): x and y
    in shares of the picture's sides, -0.5 to 0.5, 0 where no shape is.
    """
    rows, columns = grid
    patch = torch.arange(rows * columns * PATCHES, device=marks.device)
    block, inner = patch // PATCHES, patch % PATCHES
    x = (block % columns + 0.5 * (inner % 2) + 0.25) / columns - 0.5
    y = (block // columns + 0.5 * (inner // 2) + 0.25) / rows - 0.5
    held = (marks[..., 2] > 0) & (marks[..., 2] != PICTURE)
    return held, torch.stack([x, y], -1) * held[..., None]


def spelled_halves(found: Tensor) -> tuple[Tensor, Tensor]:
    """Characters and their numbers in the halves of blocks, 0 where none is to be spelled.

    found: marks (pictures, blocks, PATCHES, MARK_SLOTS); both (pictures, blocks, HALVES).
    """
    order = found[..., 4:6].flatten(2)
    return found[..., :2].flatten(2) * (order > 0), order


def faintly(codes: Tensor, unsure: float) -> Tensor:
    """Sums of codes (..., things, width), each weakened at random as far as a tower is unsure."""
    if not unsure:
        return codes.sum(-2)
    strength = torch.distributions.Beta(SURE * FAINT, SURE * (1 - FAINT)).sample(codes.shape[:-1])
    return torch.einsum("...tw,...t->...w", codes, 1 - unsure * (1 - strength.to(codes)))


def spread(shapes: Tensor, grid: tuple[int, int], unsure: float) -> Tensor:
    """What of shapes (pictures, blocks, width) stands in a block next to theirs, any of four."""
    shapes = shapes.unflatten(1, grid)
    away = torch.randint(len(STEPS), shapes.shape[:3]).to(shapes.device)
    shares = unsure * SPREAD * torch.rand(shapes.shape[:3]).to(shapes)
    total = torch.zeros_like(shapes)
    for number, (down, right) in enumerate(STEPS):
        moved = F.pad(shapes * (shares * (away == number))[..., None], (0, 0, 1, 1, 1, 1))
        moved = moved.roll((down, right), (1, 2))
        total = total + moved[:, 1:-1, 1:-1]
    return total.flatten(1, 2)


class Codes(nn.Module):
    """Fixed directions at right angles, the same for every training run.

    Each of a block's eight places for a character has a subspace of its own, in which the character
    is told, and another for the number that it has in its text: one head of attention that looks
    for a number at one place finds the character. What upper and lower texts are for is told
    beside. A shape is told by its kind, its colour and its place along two axes. All blocks have a
    long common part, without which the decoder's norm would blow up the noise of blank ones.
    """

    alphabet: Tensor
    words: Tensor
    halves: Tensor
    axes: Tensor
    kinds: Tensor
    thing: Tensor
    colours: Tensor
    orders: Tensor
    text: Tensor
    amount: Tensor

    def __init__(self, width: int, length: float = 0.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)

        def at_right_angles(rows: int, columns: int) -> Tensor:
            return torch.linalg.qr(torch.randn(rows, columns, generator=generator))[0]

        # Drawn as ever, so that a model can be made before `take_alphabet`.
        letters = F.normalize(at_right_angles(len(CHARS), LETTER_WIDTH), dim=-1)
        self.register_buffer("alphabet", letters)
        spans = at_right_angles(width, width).T.split(LETTER_WIDTH)
        rest = iter(torch.cat([*spans[HALVES + 2 :], spans[HALVES + 1]]) * length)

        def known(number: int) -> Tensor:
            """One direction for each, after nothing for nothing."""
            return torch.stack([torch.zeros(width), *(next(rest) for _ in range(number))])

        kinds = known(PICTURE)
        thing = next(rest)  # a shape at all
        kinds[1:PICTURE] += thing
        kinds[PICTURE] /= PATCHES  # all patches of a block show the picture
        tables = {
            "words": spans[0],
            "halves": torch.stack(spans[1 : HALVES + 1]) * length,
            "kinds": kinds,
            "thing": thing,
            "colours": known(len(COLOURS)),
            "upper": known(len(ROLES)),
            "axes": torch.stack([next(rest), next(rest)]) * 8,
            "ground": next(rest) * 2,
            "lower": known(len(ROLES)),
        }
        waves = torch.stack([next(rest) for _ in range(2 * WAVES * HALVES)])
        tables["orders"] = order_waves() @ waves.view(HALVES, 2 * WAVES, width)
        for name in ("letter", "text", "amount"):
            tables[name] = F.normalize(next(rest), dim=-1)
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @torch.no_grad()
    def take_alphabet(self, readings: Tensor) -> None:
        """Gives characters that look alike near codes: (characters, directions in the tower).

        What tells characters apart in the tower has more dimensions than a code; the codes keep the
        strongest. With codes drawn at random, which no linear map reaches from there, a quarter
        more of the characters is misread.
        """
        directions = torch.linalg.svd(readings - readings.mean(0), full_matrices=False)[0]
        self.alphabet.copy_(F.normalize(directions[:, :LETTER_WIDTH], dim=-1))

    @property
    def chars(self) -> Tensor:
        """(HALVES, 1 + characters, width): the codes of characters, after nothing for nothing."""
        return F.pad(self.alphabet @ self.halves, (0, 0, 1, 0))

    @torch.no_grad()
    def name(self, embedding: Any, tokenizer: Any) -> None:
        """Draws the tokens of characters, kinds and colours to the directions of their codes.

        A decoder that starts so has to learn one way to copy, not one for each character. Half of
        what each token was drawn as stays, which tells near codes apart where answers are said.
        All tokens have a part in common, and characters and the line break before an answer
        another: without, no query is the same whatever was said, and the decoder hardly learns to
        count what it said.
        """
        names = [*KINDS, *COLOURS]
        words = [*CHARS, *(f" {name}" for name in (*PLURALS, *THINGS, *names))]
        words += [name.capitalize() for name in names]
        letters, kinds = self.alphabet @ self.words, self.kinds[1:PICTURE]
        things, both = self.thing.expand(len(THINGS), -1), torch.cat([kinds, self.colours[1:]])
        codes = torch.cat([letters, kinds, things, both, both])
        length = embedding.weight.norm(dim=-1).mean() / codes.norm(dim=-1, keepdim=True)
        for word, row in zip(words, codes * length, strict=True):
            (token,) = tokenizer.encode(word)
            embedding.weight[token] = (embedding.weight[token] + row) / 2**0.5
        length = embedding.weight.norm(dim=-1).mean()
        spelling = [tokenizer.encode(letter)[0] for letter in (*CHARS, "\n")]
        embedding.weight[spelling] += length * self.letter
        embedding.weight += 0.75 * length * self.text

    def forward(self, marks: Tensor, grid: tuple[int, int], unsure: float = 0.0) -> Tensor:
        """marks as in `shape_places` -> (pictures, blocks, width): sums of what blocks show.

        unsure: from 0 to 1, how much as a tower tells it that has not learnt to the end: every
        thing more or less faintly, and shapes in a neighbouring block too.
        """
        found = marks.masked_fill(marks == UNKNOWN, 0).long().unflatten(1, (-1, PATCHES))
        char, order = spelled_halves(found)
        half = torch.arange(HALVES, device=marks.device)
        roles = F.one_hot(found[..., 6], len(ROLES) + 1).unflatten(2, (2, -1)).amax(3)
        upper, lower = roles.to(self.ground.dtype).unbind(2)
        held, places = shape_places(marks, grid)
        number = held.unflatten(1, (-1, PATCHES)).sum(2).clamp(min=1)
        place = places.unflatten(1, (-1, PATCHES)).sum(2) / number[..., None]
        shapes = faintly(self.kinds[found[..., 2]] + self.colours[found[..., 3]], unsure)
        shapes = shapes + faintly((place @ self.axes)[..., None, :], unsure)
        if unsure:
            shapes = shapes + spread(shapes, grid, unsure)
        told = self.ground + shapes + upper @ self.upper + lower @ self.lower
        told = told + faintly(self.chars[half, char], unsure)
        return told + faintly(self.orders[half, order], unsure)

    def misread(
        self, tokens: Tensor, marks: Tensor
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """Cross-entropy of the nearest code of everything that is shown and has a name.

        That is characters and their numbers at each place that has one, and kinds and colours of
        shapes. tokens (pictures, blocks, width), marks as in `shape_places`. Squared distances
        alone make tokens shrink where the tower is not sure. Also returns how many were right, of
        how many.
        """
        found = marks.masked_fill(marks == UNKNOWN, 0).long().unflatten(1, (-1, PATCHES))
        char, order = spelled_halves(found)
        kind, colour = found[..., 2] * (found[..., 2] != PICTURE), found[..., 3]
        kinds, colours = (table.expand(PATCHES, -1, -1) for table in (self.kinds, self.colours))
        total, figures = tokens.new_zeros(()), {}
        for name, table, wanted in (
            ("read", self.chars, char),
            ("numbered", self.orders, order),
            ("shaped", kinds[:, :PICTURE], kind * (colour > 0)),
            ("coloured", colours, colour * (kind > 0)),
        ):
            there = wanted > 0
            scores = torch.einsum("bnw,hcw->bnhc", tokens - self.ground, table[:, 1:])[there]
            target = wanted[there] - 1
            missed = F.cross_entropy(SHARPNESS * scores.float(), target, reduction="sum")
            total = total + missed / (there.sum() + 1)
            figures[name] = (scores.argmax(-1) == target).sum(), there.sum()
        return total, figures
