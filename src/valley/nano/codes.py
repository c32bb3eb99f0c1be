"""What a picture shows as vectors: one fixed code for each thing that a block can hold.

Tower and decoder of the embedded model learn apart before they learn together: the tower to turn a
picture into these codes, the decoder to answer from them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from valley.data.synthetic.sample import CHARS, COLOURS, KINDS, PICTURE, UNKNOWN

PATCHES = 4
"""Patches of a block, row by row; each has marks for a left and a right character."""


def shape_places(marks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which patches hold a shape's centre, and how far it lies from the picture's middle.

    marks: uint8 (pictures, patches, 4), the four patches of a block in a row; grid: (rows, columns)
    of blocks. Returns bool (pictures, patches) and (pictures, patches, 2): x and y in shares of
    the picture's sides, -0.5 to 0.5, 0 where no shape is.
    """
    rows, columns = grid
    patch = torch.arange(rows * columns * PATCHES, device=marks.device)
    block, inner = patch // PATCHES, patch % PATCHES
    x = (block % columns + 0.5 * (inner % 2) + 0.25) / columns - 0.5
    y = (block // columns + 0.5 * (inner // 2) + 0.25) / rows - 0.5
    held = (marks[..., 2] > 0) & (marks[..., 2] != PICTURE)
    return held, torch.stack([x, y], -1) * held[..., None]


class Codes(nn.Module):
    """Random directions of one length, the same for every training run.

    A character's code adds up what it is, in which of the eight places of a block it stands, both
    together, so that the order of several can be read, and that it is a character at all. A shape's
    place is told along two axes. All blocks have a long common part, without which the decoder's
    norm would blow up the noise of blank ones.
    """

    def __init__(self, width: int, length: float = 0.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)

        def directions(*shape: int) -> Tensor:
            found = torch.randn(*shape, width, generator=generator)
            return found / found.norm(dim=-1, keepdim=True) * length

        def known(codes: Tensor) -> Tensor:
            codes[..., 0, :] = 0  # nothing there
            return codes

        number = len(CHARS) + 1
        letters, kinds = directions(number), directions(PICTURE + 1)
        places = directions(PATCHES, 2, 1) + directions()
        both = directions(PATCHES, 2, number)
        kinds[1:PICTURE] += directions()  # a shape at all
        kinds[PICTURE] /= PATCHES  # all patches of a block show the picture
        axes = torch.linalg.qr(torch.randn(width, 2, generator=generator))[0].T
        tables = {
            "letters": letters,
            "chars": known(letters + places + both) / 2,
            "kinds": known(kinds),
            "colours": known(directions(len(COLOURS) + 1)),
            "axes": axes * 2 * length,
            "ground": directions() * 2,
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @torch.no_grad()
    def name(self, embedding: nn.Embedding, tokenizer: Any) -> None:
        """Gives the tokens of characters, kinds and colours the directions of their codes.

        A decoder that starts so has to learn one way to copy, not one for each character.
        """
        words = [*CHARS, *(f" {kind}" for kind in KINDS), *(f" {colour}" for colour in COLOURS)]
        codes = torch.cat([self.letters[1:], self.kinds[1:PICTURE], self.colours[1:]])
        length = embedding.weight.norm(dim=-1).mean() / codes.norm(dim=-1, keepdim=True)
        for word, row in zip(words, codes * length, strict=True):
            (token,) = tokenizer.encode(word)
            embedding.weight[token] = row

    def forward(self, marks: Tensor, grid: tuple[int, int]) -> Tensor:
        """marks as in `shape_places` -> (pictures, blocks, width): sums of what blocks show."""
        found = marks.masked_fill(marks == UNKNOWN, 0).long().unflatten(1, (-1, PATCHES))
        told = self.ground + self.kinds[found[..., 2]].sum(2)
        told = told + self.colours[found[..., 3]].sum(2)
        for patch in range(PATCHES):
            for half in range(2):
                told = told + self.chars[patch, half][found[:, :, patch, half]]
        held, places = shape_places(marks, grid)
        number = held.unflatten(1, (-1, PATCHES)).sum(2).clamp(min=1)
        place = places.unflatten(1, (-1, PATCHES)).sum(2) / number[..., None]
        return told + place @ self.axes
