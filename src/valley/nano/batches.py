"""Training batches: the samples of a step, shared out, drawn, and made into tensors."""

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

from valley.data.synthetic.sample import (
    CHARS,
    COLOURS,
    KINDS,
    MARK_SLOTS,
    PLURALS,
    ROLES,
    THINGS,
    Sample,
    Turn,
)
from valley.nano.plans import Grid, Plan
from valley.pixels import CLIP

MIN_PIXELS = 84 * 84
"""A smaller picture is enlarged to this area: nine visual tokens."""

MAX_PIXELS = 96 * 28 * 28
"""A larger picture is reduced to this area: 96 visual tokens."""

OPENING = 4
"""Tokens before the first visual one."""
BETWEEN = 3
"""Tokens between the visual ones of two frames."""

NAMES = (*KINDS, *PLURALS, *COLOURS, *THINGS)
"""Words by which questions ask for shapes; the last of a question has them all before it."""


@dataclass
class Group:
    """Samples whose pictures all have one size.

    pixels: uint8 (samples, frames, height, width, 3); grid: (rows, columns) of 28-pixel blocks.
    after: token ids after the pictures, padded: (samples, length).
    labels: (samples, length), -100 where nothing is learnt.
    places: (samples, length, 2), of the thing that a token names, NaN where it names none.
    shifts: (samples, length, 2), of the turn whose answer comes next, NaN where it has none.
    compared: (samples, length, 2), beside shifts: which tokens of the whole sequence show or name
    the two things, -1 where none does.
    naming: bool (samples, length), the word of a question by which shapes are counted, found or
    named, of a clip's the tokens before the answer's; shown: (naming tokens, blocks), how many of
    these shapes each block of the last frame shows.
    told: (samples, length), before an answer's tokens, which token of the sequence is that word;
    -1 where there is none.
    spelled: (samples, length), which half of which block shows the character that comes next in an
    answer: block * HALVES + half; -1 where none does.
    marks: uint8 (samples, patches, MARK_SLOTS).
    """

    kind: str
    grid: Grid
    pixels: Tensor
    after: Tensor
    labels: Tensor
    places: Tensor
    shifts: Tensor
    compared: Tensor
    naming: Tensor
    shown: Tensor
    told: Tensor
    spelled: Tensor
    marks: Tensor


@dataclass
class Batch:
    """One process's part of an optimizer step.

    groups: its samples of each group of the plan; shares: how much of the whole group they are;
    cpu_seconds: what the process that drew them has spent since it drew the batch before.
    """

    step: int
    groups: list[Group]
    shares: list[float]
    cpu_seconds: float


def share_out(plan: Plan, rank: int, processes: int) -> dict[int, list[int]]:
    """Which samples of which groups a process takes, so that all have about the same work.

    The samples of a step stand in a row, as long as each one's tokens, which is cut into equal
    parts: few groups are torn apart, since small ones are slow for their size.
    """
    cost = []
    for _, draw, grid, _ in plan:
        asked = draw.keywords if isinstance(draw, partial) else {}
        cost.append(grid[0] * grid[1] * asked.get("frames", 1) + 25 * asked.get("questions", 1))
    total = sum(one * number for one, (*_, number) in zip(cost, plan, strict=True))
    done = 0.0
    mine: dict[int, list[int]] = {}
    for index, (*_, number) in enumerate(plan):
        for sample in range(number):
            if int((done + cost[index] / 2) * processes / total) == rank:
                mine.setdefault(index, []).append(sample)
            done += cost[index]
    return mine


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
        self.counted = 0.0

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, step: int) -> Batch:
        plan = self.plan(np.random.default_rng([self.seed, step]), step / self.total)
        groups, shares = [], []
        for index, samples in share_out(plan, self.rank, self.processes).items():
            kind, draw, grid, number = plan[index]
            drawn = [
                draw(np.random.default_rng([self.seed, step, index + 1, sample]), grid)
                for sample in samples
            ]
            groups.append(collate(self.tokenizer, kind, grid, drawn))
            shares.append(len(drawn) / number)
        before, self.counted = self.counted, time.process_time()
        return Batch(step, groups, shares, self.counted - before)


def dialog_ids(
    tokenizer: PreTrainedTokenizerBase, dialog: list[Turn]
) -> tuple[list[int], list[int], list[int]]:
    """Token ids after the pictures, their labels, and where the questions end.

    Only answers and their ends are learnt.
    """
    ids: list[int] = []
    labels: list[int] = []
    ends: list[int] = []
    for index, (question, answer, *_) in enumerate(dialog):
        opening = "\n" if index == 0 else "<|im_start|>user\n"
        asked = tokenizer.encode(f"{opening}{question}<|im_end|>\n<|im_start|>assistant\n")
        said = tokenizer.encode(f"{answer}<|im_end|>")
        end = tokenizer.encode("\n")
        ends.append(len(ids) + len(asked) - 1)
        ids += asked + said + end
        labels += [-100] * len(asked) + said + [-100] * len(end)
    return ids, labels, ends


def ends_of(part: list[int], whole: list[int]) -> list[int]:
    """Where the part ends, each time that it stands in the whole."""
    starts = range(len(whole) - len(part) + 1)
    return [s + len(part) - 1 for s in starts if whole[s : s + len(part)] == part]


def last_named(places: Tensor, apart: Tensor) -> Tensor:
    """Which tokens name the things at two places last; places: (tokens, 2), NaN where none is."""
    there = (places - apart[:, None]).abs().sum(-1) < 1e-5
    return (there * torch.arange(1, len(places) + 1)).amax(1) - 1


def blocks_at(places: Tensor, grid: Grid) -> Tensor:
    """Numbers of the blocks at places (things, 2), row by row."""
    sides = torch.tensor([grid[1], grid[0]])
    x, y = torch.minimum(((places + 0.5) * sides).long(), sides - 1).unbind(-1)
    return y * grid[1] + x


def spelled_at(marks: np.ndarray, answer: str) -> list[int]:
    """Where the characters of an answer stand that a picture spells out; empty if none does.

    marks: (patches, MARK_SLOTS) of a picture in the order of blocks. Returns block * HALVES + half
    for each character, -1 for one that has no mark of its own.
    """
    halves = marks[:, :2].reshape(-1), marks[:, 4:6].reshape(-1), np.repeat(marks[:, 6], 2)
    for roles in (("word",), ("price",), ("discount",), ("rating",), ("title", "second")):
        found: list[int] = []
        for role, part in zip(roles, answer.lower().split(" "), strict=False):
            found += [-1] * bool(found)  # the space
            for order, char in enumerate(part, 1):
                here = (halves[0] == CHARS.find(char) + 1) & (halves[1] == order)
                where = np.flatnonzero(here & (halves[2] == ROLES.index(role) + 1))
                found.append(int(where[0]) if len(where) else -1)
        if len(found) == len(answer) and sum(at >= 0 for at in found) > len(found) / 2:
            return found
    return []


def collate(
    tokenizer: PreTrainedTokenizerBase, kind: str, grid: Grid, samples: list[Sample]
) -> Group:
    """Tensors of samples whose pictures have the same grid."""
    marks = np.stack([s.marks for s in samples]).reshape(-1, grid[0], 2, grid[1], 2, MARK_SLOTS)
    marks = marks.transpose(0, 1, 3, 2, 4, 5).reshape(len(samples), -1, MARK_SLOTS)
    texts = [dialog_ids(tokenizer, sample.dialog) for sample in samples]
    longest = max(len(ids) for ids, _, _ in texts)
    after = torch.full((len(samples), longest), tokenizer.pad_token_id)
    labels = torch.full((len(samples), longest), -100)
    for row, (ids, targets, _) in enumerate(texts):
        after[row, : len(ids)] = torch.tensor(ids)
        labels[row, : len(ids)] = torch.tensor(targets)
    group = Group(
        kind,
        grid,
        pixels=torch.from_numpy(np.stack([np.stack(s.frames) for s in samples])),
        after=after,
        labels=labels,
        places=torch.full((len(samples), longest, 2), torch.nan),
        shifts=torch.full((len(samples), longest, 2), torch.nan),
        compared=torch.full((len(samples), longest, 2), -1),
        naming=torch.zeros(len(samples), longest, dtype=torch.bool),
        shown=torch.zeros(0, grid[0] * grid[1]),
        told=torch.full((len(samples), longest), -1),
        spelled=torch.full((len(samples), longest), -1),
        marks=torch.from_numpy(marks.copy()),
    )
    names = {token for name in NAMES for token in tokenizer.encode(f" {name}")[-1:]}
    for row, (sample, (ids, _, ends)) in enumerate(zip(samples, texts, strict=True)):
        for name, place in sample.places.items():
            for end in ends_of(tokenizer.encode(f" {name}"), ids):
                group.places[row, end] = torch.tensor(place)
        for turn, end in zip(sample.dialog, ends, strict=True):
            word = max((at for at in range(end) if ids[at] in names), default=end)
            teach(group, row, turn, word, end)
    return group


def first_after(frames: int, blocks: int) -> int:
    """Number of the first token after the pictures."""
    return OPENING + frames * (blocks + BETWEEN) - BETWEEN + 1


def teach(group: Group, row: int, turn: Turn, word: int, end: int) -> None:
    """Notes what a turn of a sample is about, by which word, and where its question ends."""
    frames, blocks = group.pixels.shape[1], group.grid[0] * group.grid[1]
    tokens = int((group.labels[row, end + 1 :] < 0).nonzero()[0])
    if turn.apart is not None:
        group.shifts[row, end] = torch.tensor(turn.shift)
        apart = torch.tensor(turn.apart)
        if frames > 1:
            starts = torch.tensor([frames - 1, 0]) * (blocks + BETWEEN)
            group.compared[row, end] = OPENING + starts + blocks_at(apart, group.grid)
        else:
            named = last_named(group.places[row, :end], apart)
            group.compared[row, end] = first_after(frames, blocks) + named
    if turn.about is not None:
        places = blocks_at(torch.tensor(turn.about).view(-1, 2), group.grid)
        shown = places.bincount(minlength=blocks).float()
        answer, asking = slice(end, end + tokens), slice(word, word + 1)
        if frames == 1:
            group.told[row, answer] = first_after(frames, blocks) + word
        naming = answer if frames > 1 else asking
        group.naming[row, naming] = True
        group.shown = torch.cat([group.shown, shown.expand(naming.stop - naming.start, -1)])
    if tokens == len(turn.answer) + 1:  # one for each character, and the end
        for position, half in enumerate(spelled_at(group.marks[row].numpy(), turn.answer), end):
            group.spelled[row, position] = half


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
