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
    ROLES,
    UNKNOWN,
)

PATCHES = 4
"""Patches of a block, row by row; each has marks for a left and a right character."""
LETTER_WIDTH = 16
"""Of the subspace that tells one character."""


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


class Codes(nn.Module):
    """Fixed directions at right angles, the same for every training run.

    The n-th character of a text is told in a subspace of its own, so that the sum over all blocks
    of a text spells it; what the text is for is told beside. A shape is told by its kind, its
    colour and its place along two axes. All blocks have a long common part, without which the
    decoder's norm would blow up the noise of blank ones.
    """

    letters: Tensor

    def __init__(self, width: int, length: float = 0.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)

        def at_right_angles(rows: int, columns: int) -> Tensor:
            return torch.linalg.qr(torch.randn(rows, columns, generator=generator))[0]

        letters = F.normalize(at_right_angles(len(CHARS), LETTER_WIDTH), dim=-1)
        spans = at_right_angles(width, width).T.split(LETTER_WIDTH)
        rest = iter(torch.cat(spans[LONGEST + 1 :]) * length)
        chars = torch.zeros(LONGEST + 1, len(CHARS) + 1, width)
        for order, span in enumerate(spans[1 : LONGEST + 1]):
            chars[order + 1, 1:] = letters @ span * length

        def known(number: int) -> Tensor:
            """One direction for each, after nothing for nothing."""
            return torch.stack([torch.zeros(width), *(next(rest) for _ in range(number))])

        kinds = known(PICTURE)
        kinds[1:PICTURE] += next(rest)  # a shape at all
        kinds[PICTURE] /= PATCHES  # all patches of a block show the picture
        tables = {
            "letters": letters @ spans[0],
            "chars": chars,
            "kinds": kinds,
            "colours": known(len(COLOURS)),
            "roles": known(len(ROLES)),
            "axes": torch.stack([next(rest), next(rest)]) * 8,
            "ground": next(rest) * 2,
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @torch.no_grad()
    def name(self, embedding: nn.Embedding, tokenizer: Any) -> None:
        """Gives the tokens of characters, kinds and colours the directions of their codes.

        A decoder that starts so has to learn one way to copy, not one for each character.
        """
        words = [*CHARS, *(f" {kind}" for kind in KINDS), *(f" {colour}" for colour in COLOURS)]
        codes = torch.cat([self.letters, self.kinds[1:PICTURE], self.colours[1:]])
        length = embedding.weight.norm(dim=-1).mean() / codes.norm(dim=-1, keepdim=True)
        for word, row in zip(words, codes * length, strict=True):
            (token,) = tokenizer.encode(word)
            embedding.weight[token] = row

    def forward(self, marks: Tensor, grid: tuple[int, int]) -> Tensor:
        """marks as in `shape_places` -> (pictures, blocks, width): sums of what blocks show."""
        found = marks.masked_fill(marks == UNKNOWN, 0).long().unflatten(1, (-1, PATCHES))
        told = self.ground + self.kinds[found[..., 2]].sum(2)
        told = told + self.colours[found[..., 3]].sum(2)
        told = told + self.chars[found[..., 4:6], found[..., :2]].sum((2, 3))
        roles = F.one_hot(found[..., 6], len(ROLES) + 1).amax(2)
        told = told + roles.to(told.dtype) @ self.roles
        held, places = shape_places(marks, grid)
        number = held.unflatten(1, (-1, PATCHES)).sum(2).clamp(min=1)
        place = places.unflatten(1, (-1, PATCHES)).sum(2) / number[..., None]
        return told + place @ self.axes
