"""Training batches: which samples a step draws, and how they become tensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from valley.data.synthetic.cards import card_sample
from valley.data.synthetic.clips import clip
from valley.data.synthetic.easy import easy_sample
from valley.data.synthetic.pages import page
from valley.data.synthetic.pictures import unknown_picture
from valley.data.synthetic.sample import Sample, pick
from valley.data.synthetic.shapes import shape_scene
from valley.data.synthetic.words import word_strip
from valley.pixels import CLIP_MEAN, CLIP_STD

MIN_PIXELS = 84 * 84
"""A smaller picture is enlarged to this area: nine visual tokens."""

MAX_PIXELS = 128 * 28 * 28
"""A larger picture is reduced to this area: 128 visual tokens."""

Grid = tuple[int, int]
Draw = Callable[[np.random.Generator, Grid], Sample]


@dataclass
class Group:
    """Samples whose pictures all have one size.

    pixels: uint8 (samples, frames, height, width, 3); grid: (rows, columns) of 28-pixel blocks.
    after: token ids after the pictures, padded: (samples, length).
    labels: (samples, length), -100 where nothing is learnt; marks: uint8 (samples, patches, 4).
    """

    kind: str
    grid: Grid
    pixels: Tensor
    after: Tensor
    labels: Tensor
    marks: Tensor


@dataclass
class Batch:
    """One process's groups of an optimizer step, and what drawing them cost in CPU seconds."""

    step: int
    groups: list[Group]
    cpu_seconds: float


def _random_grid(rng: np.random.Generator, low: float, high: float, ratio: float) -> Grid:
    """Rows and columns for an area between `low` and `high` blocks, up to `ratio` to one."""
    area = rng.uniform(low, high)
    aspect = np.exp(rng.triangular(-np.log(ratio), 0.0, np.log(ratio)))
    rows = max(2, round(float(np.sqrt(area / aspect))))
    return rows, max(2, int(area / rows))


STRIPS = ((1, 9), (1, 10), (1, 11), (2, 5), (2, 6), (2, 7))
SCENES = ((4, 4), (4, 4), (3, 4), (5, 5), (4, 6), (6, 4), (3, 3))
PAGES = ((3, 7), (4, 5), (4, 6), (5, 4), (3, 6))
FRAMES = ((3, 3), (3, 3), (2, 4), (3, 4), (4, 3))


def plan_groups(rng: np.random.Generator) -> list[tuple[str, Draw, Grid, int]]:
    """(kind, generator, grid, samples) of one step.

    One question for most pictures: in long conversations a decoder that has not yet found the
    picture sees little of it.
    """
    scene = pick(rng, SCENES)
    if rng.random() < 0.15:
        scene = _random_grid(rng, 25, 60, 2.0)
    scenes = 24 if scene[0] * scene[1] < 21 else 10
    frames = 8 if rng.random() < 0.4 else 4
    card = _random_grid(rng, 50, 126, 5.0) if rng.random() < 0.2 else _random_grid(rng, 15, 50, 4.0)
    cards = 3 if card[0] * card[1] > 50 else 7
    return [
        ("word", word_strip, pick(rng, STRIPS[:3]), 20),
        ("word", word_strip, pick(rng, STRIPS[3:]), 16),
        ("easy", partial(easy_sample, questions=1), (3, 3), 20),
        ("shape", partial(shape_scene, questions=1), scene, scenes),
        ("unknown", unknown_picture, _random_grid(rng, 9, 30, 2.5), 4),
        ("clip", partial(clip, frames=frames, questions=1), pick(rng, FRAMES), 48 // frames),
        ("card", partial(card_sample, questions=2), card, cards),
        ("page", page, pick(rng, PAGES), 4),
    ]


def share_out(plan: list[tuple[str, Draw, Grid, int]], processes: int) -> list[list[int]]:
    """Group numbers for each process, so that all have about the same work."""
    cost = [
        number * (grid[0] * grid[1] * (5 if kind == "clip" else 1) + 25)
        for kind, _, grid, number in plan
    ]
    shares: list[list[int]] = [[] for _ in range(processes)]
    for index in sorted(range(len(plan)), key=lambda i: -cost[i]):
        min(shares, key=lambda share: sum(cost[i] for i in share)).append(index)
    return shares


class Steps(Dataset):
    """Batch number i, a pure function of (seed, i): any process can draw its share of it."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        total: int,
        rank: int = 0,
        processes: int = 1,
    ):
        self.tokenizer, self.seed, self.total = tokenizer, seed, total
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, step: int) -> Batch:
        started = time.process_time()
        plan = plan_groups(np.random.default_rng([self.seed, step]))
        groups = []
        for index in share_out(plan, self.processes)[self.rank]:
            kind, draw, grid, number = plan[index]
            rng = np.random.default_rng([self.seed, step, index + 1])
            samples = [draw(rng, grid) for _ in range(number)]
            groups.append(collate(self.tokenizer, kind, grid, samples))
        return Batch(step, groups, time.process_time() - started)


def dialog_ids(
    tokenizer: PreTrainedTokenizerBase, dialog: list[tuple[str, str]]
) -> tuple[list[int], list[int]]:
    """Token ids after the pictures and their labels: only answers and their ends are learnt."""
    ids: list[int] = []
    labels: list[int] = []
    for index, (question, answer) in enumerate(dialog):
        opening = "\n" if index == 0 else "<|im_start|>user\n"
        asked = tokenizer.encode(f"{opening}{question}<|im_end|>\n<|im_start|>assistant\n")
        said = tokenizer.encode(f"{answer}<|im_end|>")
        end = tokenizer.encode("\n")
        ids += asked + said + end
        labels += [-100] * len(asked) + said + [-100] * len(end)
    return ids, labels


def collate(
    tokenizer: PreTrainedTokenizerBase, kind: str, grid: Grid, samples: list[Sample]
) -> Group:
    """Tensors of samples whose pictures have the same grid."""
    texts = [dialog_ids(tokenizer, sample.dialog) for sample in samples]
    longest = max(len(ids) for ids, _ in texts)
    after = torch.full((len(samples), longest), tokenizer.pad_token_id)
    labels = torch.full((len(samples), longest), -100)
    for row, (ids, targets) in enumerate(texts):
        after[row, : len(ids)] = torch.tensor(ids)
        labels[row, : len(ids)] = torch.tensor(targets)
    pixels = torch.from_numpy(np.stack([np.stack(s.frames) for s in samples]))
    marks = np.stack([s.marks for s in samples]).reshape(-1, grid[0], 2, grid[1], 2, 4)
    marks = marks.transpose(0, 1, 3, 2, 4, 5).reshape(len(samples), -1, 4)
    return Group(kind, grid, pixels, after, labels, torch.from_numpy(marks.copy()))


def patch_rows(pixels: Tensor, grid: Grid) -> Tensor:
    """uint8 (pictures, height, width, 3) -> float (pictures, patches, 588): colour, y, x.

    Patches come in the order of 2x2 blocks. A tower that duplicates a still picture in time sees
    every row twice; summing its kernel over time gives the same numbers for half the work.
    """
    mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
    values = (pixels.float() / 255 - mean.to(pixels.device)) / std.to(pixels.device)
    rows, columns = grid
    values = values.view(-1, rows, 2, 14, columns, 2, 14, 3)
    return values.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(len(pixels), rows * columns * 4, 588)
