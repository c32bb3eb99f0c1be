"""What the embedded model is taught by: the losses of a group of pictures.

Besides the answers: marks and places, which a head that only training has reads off the tower's
patches, and alignment, which draws visual tokens to the codes of what they show (`codes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids

from valley.data.synthetic.sample import (
    CHARS,
    COLOURS,
    LONGEST,
    MARK_SLOTS,
    PICTURE,
    ROLES,
    UNKNOWN,
)
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import Group, patch_rows
from valley.nano.codes import PATCHES, Codes, shape_places
from valley.nano.looks import (
    COMPARING_LAYER,
    POINTING_LAYER,
    SPELLING_LAYERS,
    look_scores,
    looks_right,
    taught_looks,
)

MARKS = ("char", "char", "kind", "colour", "order", "order", "role")
MARK_CLASSES = tuple(
    {
        "char": len(CHARS),
        "kind": PICTURE,
        "colour": len(COLOURS),
        "order": LONGEST,
        "role": len(ROLES),
    }[name]
    + 1
    for name in MARKS
)
PRESENCE_WEIGHT = 2.0
"""Of whether a mark is there, beside which one it is."""
PLACE_WEIGHT = 4.0
"""Of a place's distance, which is a quarter of a side where nothing is known."""
BLANK_WEIGHT = 0.2
"""Of a block that shows nothing, beside one that does, in the alignment."""
LOOKING_WEIGHT = 0.5
"""Of where heads look, beside the answers."""
COUNTING_WEIGHT = 1.0
"""Of which number the character to be said next has, read off what the spelling heads get."""
SHIFT_WEIGHT = 2.0
"""Of how far apart two places lie, which is read off the layer that compares them."""
QUICK = 1.702
"""In the sigmoid of the tower's activation."""
NOISE = 0.02
"""Standard deviation of what is added to told tokens: a tower never tells exactly."""
UNSURE_NOISE = 0.06
"""The same where a tower is not sure and something is shown."""


@dataclass
class Seen:
    """What a group taught about seeing: a loss, and (right, asked) for each kind of mark."""

    loss: Tensor
    right: dict[str, tuple[Tensor, Tensor]]


class MarkHead(nn.Module):
    """Reads characters and shapes off the tower's patches; used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, sum(MARK_CLASSES) + 2)

    def readings(self) -> Tensor:
        """What tells characters apart: (characters, directions of left and right ones)."""
        weights = (self.linear.weight * self.norm.weight).split((*MARK_CLASSES, 2))
        sides = [weights[slot][1:] for slot, name in enumerate(MARKS) if name == "char"]
        return torch.cat(sides, 1)

    def forward(self, features: Tensor, marks: Tensor, grid: tuple[int, int]) -> Seen:
        """features (pictures, patches, width), marks uint8 (pictures, patches, MARK_SLOTS).

        Which mark is there counts over marked patches only, so that the many blank ones do not
        drown it; whether one is there counts over all patches where that is known.
        """
        outputs = self.linear(self.norm(features)).float().split((*MARK_CLASSES, 2), -1)
        held, places = shape_places(marks, grid)
        error = ((outputs[-1] - places).abs().sum(-1) * held).sum()
        total = PLACE_WEIGHT * error / (held.sum() + 1)
        right = {"place": (error.detach(), held.sum())}
        for slot, name in enumerate(MARKS):
            logits, target = outputs[slot].flatten(0, 1), marks[..., slot].flatten().long()
            known, there = target != UNKNOWN, (target > 0) & (target != UNKNOWN)
            which = logits[there][:, 1:]
            total = total + F.cross_entropy(which, target[there] - 1, reduction="sum") / (
                there.sum() + 1
            )
            present = torch.logsumexp(logits[:, 1:], -1) - logits[:, 0]
            missed = F.binary_cross_entropy_with_logits(present, there.float(), reduction="none")
            total = total + PRESENCE_WEIGHT * (missed * known).sum() / (known.sum() + 1)
            hits = (which.argmax(-1) == target[there] - 1).sum()
            before = right.get(name, (0, 0))
            right[name] = (before[0] + hits, before[1] + there.sum())
        return Seen(total, right)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention in plain products: in sequences this short quicker to go back through than fused.

    All (..., length, width).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    return scores.softmax(-1, dtype=q.dtype) @ v


def tower_block(block: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One block of Qwen2-VL's tower on equal pictures: (pictures, patches, width) in and out.

    Its activation, `x * sigmoid(a x)`, is `silu(a x) / a`; the factor goes into the weights.
    """
    heads, up, down = block.attn.num_heads, block.mlp.fc1, block.mlp.fc2
    qkv = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, heads, -1))
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    half = q.shape[-1] // 2
    cos, sin = cos.to(q.dtype), sin.to(q.dtype)
    q = q * cos + torch.cat((-q[..., half:], q[..., :half]), -1) * sin
    k = k * cos + torch.cat((-k[..., half:], k[..., :half]), -1) * sin
    x = x + block.attn.proj(attend(q, k, v).transpose(1, 2).flatten(2))
    hidden = F.silu(F.linear(block.norm2(x), QUICK * up.weight, QUICK * up.bias))
    return x + F.linear(hidden, down.weight / QUICK, down.bias)


class Trainer(nn.Module):
    """The model and what only training has, with the losses of a group.

    Pictures of a group have one size, so that the tower runs on a dense tensor; the result equals
    the packed form's, which loops over pictures on a CPU.
    """

    def __init__(self, model: Valley2_5ForConditionalGeneration, compiled: bool = False) -> None:
        super().__init__()
        self.model = model
        self.head = MarkHead(model.config.vision_config.embed_dim)
        width = model.config.text_config.hidden_size
        self.codes = Codes(width)
        self.pointer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))
        self.comparer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))
        self.counter = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, LONGEST))
        self.block = torch.compile(tower_block, dynamic=True) if compiled else tower_block
        if compiled:
            for layer in model.model.language_model.layers:
                layer.compile(dynamic=True)

    def features(self, group: Group, device: str) -> Tensor:
        """What the tower makes of a group's pictures: (pictures, patches, tower width)."""
        pixels, grid = group.pixels.flatten(0, 1).to(device), group.grid
        tower = self.model.model.vision_tower
        kernel = tower.patch_embed.proj.weight.sum(2).flatten(1)
        x = F.linear(patch_rows(pixels, grid), kernel)
        thw = torch.tensor([[1, grid[0] * 2, grid[1] * 2]])
        cos, sin = tower.rotary_pos_emb(x, get_vision_position_ids(thw, 2).to(x.device))
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for block in tower.blocks:
            x = self.block(block, x, cos, sin)
        return x

    def look(self, group: Group, device: str) -> tuple[Tensor, Seen]:
        """Features of a group's patches (pictures, patches, tower width) and their marks."""
        x = self.features(group, device)
        return x, self.head(x, self.marks(group, device), group.grid)

    def write(self, features: Tensor) -> Tensor:
        """Features -> visual tokens (pictures, blocks, width)."""
        return self.model.model.vision_connector(features).unflatten(0, (len(features), -1))

    def miswritten(
        self, tokens: Tensor, group: Group, device: str
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """How far visual tokens are from the codes of what a group's pictures show.

        Also returns their squared distance, of how much, and the characters read right.
        """
        marks = self.marks(group, device)
        wanted = self.codes(marks, group.grid)
        away = (tokens.float() - wanted).square().sum(-1)
        shown = (wanted - self.codes.ground).square().sum(-1)
        weight = torch.where(shown > 0, 1.0, BLANK_WEIGHT)
        misread, figures = self.codes.misread(tokens, marks)
        figures["align"] = (away * (shown > 0)).sum().detach(), shown.sum()
        return misread + (away * weight).sum() / weight.sum(), figures

    def marks(self, group: Group, device: str) -> Tensor:
        """A group's marks for each picture: uint8 (pictures, patches, MARK_SLOTS)."""
        patches = group.grid[0] * group.grid[1] * PATCHES
        return group.marks.view(-1, patches, MARK_SLOTS).to(device)

    def tell(self, group: Group, device: str, unsure: float = 0.0) -> Tensor:
        """Codes of what a group's pictures show, disturbed, in place of their tokens.

        unsure: as `Codes` takes it.
        """
        marks = self.marks(group, device)
        told = self.codes(marks, group.grid, unsure)
        shown = (marks > 0).unflatten(1, (-1, PATCHES)).any((-1, -2))[..., None]
        noise = NOISE + unsure * (UNSURE_NOISE - NOISE) * shown
        return told + noise * torch.randn(told.shape).to(device)

    def answer(
        self,
        tokens: Tensor,
        group: Group,
        ids: dict[str, int],
        device: str,
        read: bool = True,
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """Mean loss of a group's answers after its visual tokens.

        Beside it those of where heads look and, if `read`, of what is read off their layers. Also
        returns how many answers and looks were right, of how many.
        """
        samples, frames = group.pixels.shape[:2]
        after, labels = group.after.to(device), group.labels.to(device)
        embeddings = self.embed(tokens.unflatten(0, (samples, frames)), ids, after)
        states = self.model.model.language_model(
            inputs_embeds=embeddings, use_cache=False, output_hidden_states=True
        )
        hidden = states.last_hidden_state[:, -after.shape[1] : -1]
        target = labels[:, 1:]
        asked = target >= 0
        logits = self.model.lm_head(hidden[asked]).float()
        loss = F.cross_entropy(logits, target[asked])
        same = torch.ones_like(asked)
        same[asked] = logits.argmax(-1) == target[asked]
        figures = {"answers": answers_right(same, asked)}
        looks = taught_looks(group)
        every = look_scores(self.model.model.language_model, states.hidden_states, looks)
        for look, scores in zip(looks, every, strict=True):
            tokens = look.tokens.to(device)
            loss = loss + LOOKING_WEIGHT * F.cross_entropy(scores, tokens)
            before = figures.get(look.name, (0, 0))
            hits = looks_right(scores.detach(), tokens).sum()
            figures[look.name] = before[0] + hits, before[1] + hits.new_tensor(len(tokens))
        if read:
            layers = [states_of[:, -after.shape[1] :] for states_of in states.hidden_states]
            loss = loss + self.read(layers, group, figures)
        return loss, figures

    def read(
        self, layers: list[Tensor], group: Group, figures: dict[str, tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Loss of places, shifts and numbers that are read off the inputs of layers.

        layers: (samples, length after the pictures, width) each; adds to the figures.
        """
        loss = layers[0].new_zeros(())
        for name, missed, weight in (
            ("misplaced", distances(self.pointer, layers[POINTING_LAYER + 1], group.places), 1.0),
            (
                "shift",
                distances(self.comparer, layers[COMPARING_LAYER + 1], group.shifts),
                SHIFT_WEIGHT,
            ),
        ):
            if len(missed):
                loss = loss + weight * missed.mean()
                figures[name] = missed.sum().detach(), missed.new_tensor(len(missed))
        spelled = (group.spelled >= 0).to(loss.device)
        if spelled.any():
            counts = self.counter(layers[SPELLING_LAYERS[0]][spelled]).float()
            number = numbers_of(group).to(loss.device) - 1
            loss = loss + COUNTING_WEIGHT * F.cross_entropy(counts, number)
            hits = (counts.argmax(-1) == number).sum()
            figures["counting"] = hits, hits.new_tensor(len(number))
        return loss

    def embed(self, tokens: Tensor, ids: dict[str, int], after: Tensor) -> Tensor:
        """(samples, frames, tokens, width) and what follows -> (samples, length, width)."""
        table = self.model.model.language_model.embed_tokens
        samples, frames = tokens.shape[:2]

        def words(*names: str) -> Tensor:
            row = torch.tensor([ids[name] for name in names], device=tokens.device)
            return table(row).expand(samples, -1, -1)

        parts = [words("<|im_start|>", "user", "\n")]
        for frame in range(frames):
            opening = ("<im_start>",) if frame == 0 else (" ", "<im_start>")
            parts += [words(*opening), tokens[:, frame], words("<im_end>")]
        return torch.cat([*parts, table(after)], 1)


def numbers_of(group: Group) -> Tensor:
    """The number in its word of each character that is spelled out, from 1."""
    numbers = group.marks[..., 4:6].flatten(1).gather(1, group.spelled.clamp(min=0))
    return numbers[group.spelled >= 0].long()


def distances(reader: nn.Module, states: Tensor, wanted: Tensor) -> Tensor:
    """How far what a reader tells lies from what is wanted, where that is known; along both axes.

    states (samples, length, width), wanted (samples, length, 2) with NaN where nothing is.
    """
    wanted = wanted.to(states.device)
    known = ~wanted[..., 0].isnan()
    return (reader(states[known]).float() - wanted[known]).abs().sum(-1)


def answers_right(same: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Answers right from their first token to their last, and answers: bool (samples, length) both.

    An answer is a run of asked tokens.
    """
    begins = asked & ~F.pad(asked, (1, 0))[:, :-1]
    number = begins.cumsum(1) * asked
    rows = torch.arange(len(asked), device=asked.device)[:, None]
    wrong = torch.unique((number + len(asked[0]) * rows)[~same])
    total = begins.sum()
    return total - len(wrong), total
