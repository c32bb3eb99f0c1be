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
from valley.data.synthetic.sample import CHARS, Sample, pick
from valley.data.synthetic.shapes import shape_scene
from valley.data.synthetic.sheets import glyph_sheet, shape_sheet
from valley.data.synthetic.words import word_strip
from valley.pixels import CLIP

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
PAGES = ((2, 5), (3, 4), (4, 3), (2, 6), (3, 3), (3, 7), (4, 5))
FRAMES = ((3, 3), (3, 3), (2, 4), (3, 4), (4, 3))

Plan = list[tuple[str, Draw, Grid, int]]
"""(kind, generator, grid, samples) for each group of a step."""


def ramp(progress: float, begin: float, end: float) -> float:
    """0 before `begin`, 1 after `end`, a straight line between."""
    return min(1.0, max(0.0, (progress - begin) / (end - begin)))


def plan_look(rng: np.random.Generator, progress: float) -> Plan:
    """What the tower learns from, easy pictures first; progress: share of the stage, 0 to 1.

    Sheets of single glyphs and shapes, then texts whose characters move together, then all kinds of
    pictures that are asked about.
    """
    spread = ramp(progress, 0.0, 0.35)
    dense, real = ramp(progress, 0.12, 0.5), ramp(progress, 0.2, 0.6)
    glyphs, shapes = partial(glyph_sheet, spread=spread), partial(shape_sheet, spread=spread)
    lines = partial(page, tracking=12 * (1 - dense))
    plan: Plan = [
        ("sheet", glyphs, (3, 4), round(24 - 18 * dense)),
        ("sheet", shapes, (3, 3), round(12 - 9 * real)),
    ]
    if dense > 0:
        plan.append(("page", lines, pick(rng, PAGES), round(4 + 9 * dense)))
    if real > 0:
        clips, card = partial(clip, frames=2), _random_grid(rng, 12, 40, 4.0)
        scene = _random_grid(rng, 9, 36, 2.0) if rng.random() < 0.3 else pick(rng, SCENES)
        plan += [
            ("shape", shape_scene, scene, round(4 + 4 * real)),
            ("clip", clips, pick(rng, FRAMES), round(2 + 3 * real)),
            ("easy", easy_sample, (3, 3), 6),
            ("unknown", unknown_picture, _random_grid(rng, 9, 24, 2.5), 3),
            ("card", card_sample, card, round(1 + 3 * real)),
            ("word", word_strip, pick(rng, STRIPS), round(2 + 4 * real)),
        ]
    return plan


def legible_strip(rng: np.random.Generator, grid: Grid, longest: int) -> Sample:
    """A word whose marks spell it: no two of its characters share half a patch."""
    for _ in range(12):
        sample = word_strip(rng, grid, longest=longest)
        halves = sample.marks[0, :, :, :2].max(0).flatten()
        if "".join(CHARS[value - 1] for value in halves if value) == sample.dialog[0][1]:
            break
    return sample


def plan_tell(rng: np.random.Generator, progress: float) -> Plan:
    """What the decoder learns from, told what pictures show: short words and few shapes first."""
    longest = 1 + round(8 * ramp(progress, 0.0, 0.5))
    words = partial(legible_strip, longest=longest)
    scene = _random_grid(rng, 9, 30, 2.0) if rng.random() < 0.3 else pick(rng, SCENES)
    frames = 8 if rng.random() < 0.3 else 4
    return [
        ("word", words, pick(rng, ((1, 7), (1, 9), (1, 10), (2, 6))), 12),
        ("shape", partial(shape_scene, questions=3), scene, 10),
        ("clip", partial(clip, frames=frames, questions=1), pick(rng, FRAMES), 24 // frames),
        ("easy", partial(easy_sample, questions=2), (3, 3), 3),
        ("unknown", unknown_picture, _random_grid(rng, 9, 24, 2.5), 1),
        ("card", partial(card_sample, questions=3), _random_grid(rng, 15, 60, 4.0), 3),
    ]


def plan_compare(rng: np.random.Generator, progress: float) -> Plan:
    """Told pictures whose questions compare two places, easy ones first, and some of the others.

    Two places of one shape in a clip, or of two shapes in a scene.
    """
    others = (0,) if progress < 0.3 else (0, 0, 1, 2)
    frames = 2 if progress < 0.4 else pick(rng, (2, 4, 8))
    clips = partial(clip, frames=frames, questions=1, others=others)
    number = 2 if progress < 0.4 else int(rng.integers(2, 6))
    scenes = partial(shape_scene, questions=2, number=number)
    return [
        ("clip", clips, pick(rng, FRAMES), 80 // frames),
        ("shape", scenes, pick(rng, SCENES), 10),
        ("shape", partial(shape_scene, questions=3), pick(rng, SCENES), 3),
        ("word", partial(legible_strip, longest=9), pick(rng, STRIPS), 6),
        ("easy", partial(easy_sample, questions=2), (3, 3), 2),
        ("card", partial(card_sample, questions=3), _random_grid(rng, 15, 60, 4.0), 2),
    ]


def plan_ask(rng: np.random.Generator, progress: float) -> Plan:
    """Pictures of all kinds with their questions."""
    scene = pick(rng, SCENES)
    if rng.random() < 0.15:
        scene = _random_grid(rng, 25, 60, 2.0)
    scenes = 24 if scene[0] * scene[1] < 21 else 10
    frames = 8 if rng.random() < 0.4 else 4
    card = _random_grid(rng, 50, 126, 5.0) if rng.random() < 0.2 else _random_grid(rng, 15, 50, 4.0)
    cards = 3 if card[0] * card[1] > 50 else 7
    return [
        ("word", word_strip, pick(rng, STRIPS[:3]), 14),
        ("word", word_strip, pick(rng, STRIPS[3:]), 10),
        ("easy", partial(easy_sample, questions=1), (3, 3), 16),
        ("shape", partial(shape_scene, questions=3), scene, scenes),
        ("unknown", unknown_picture, _random_grid(rng, 9, 30, 2.5), 4),
        ("clip", partial(clip, frames=frames, questions=1), pick(rng, FRAMES), 48 // frames),
        ("card", partial(card_sample, questions=3), card, cards),
        ("page", page, pick(rng, PAGES), 6),
    ]


def share_out(plan: Plan, processes: int) -> list[list[int]]:
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
    """Batch number i, a pure function of (seed, i): any process can draw its share of it.

    plan: of a step, from a generator and the share of the steps done.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        plan: Callable[[np.random.Generator, float], Plan],
        seed: int,
        total: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.tokenizer, self.plan, self.seed, self.total = tokenizer, plan, seed, total
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, step: int) -> Batch:
        started = time.process_time()
        plan = self.plan(np.random.default_rng([self.seed, step]), step / self.total)
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
    mean, std = torch.tensor(CLIP.mean), torch.tensor(CLIP.std)
    values = (pixels.float() / 255 - mean.to(pixels.device)) / std.to(pixels.device)
    rows, columns = grid
    values = values.view(-1, rows, 2, 14, columns, 2, 14, 3)
    return values.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(len(pixels), rows * columns * 4, 588)
