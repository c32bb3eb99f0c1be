"""What the embedded model is taught by: the losses of a group of pictures.

Besides the answers: marks and places, which a head that only training has reads off the tower's
patches, and alignment, which draws visual tokens to the words for what they show and to two fixed
directions for where it lies. The tower knows distances between patches but no place in a picture,
so that a place is told from the middle of all shapes of the picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids

from valley.data.synthetic.sample import CHARS, COLOURS, KINDS
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import Group, patch_rows

MARK_CLASSES = (len(CHARS) + 1, len(CHARS) + 1, len(KINDS) + 1, len(COLOURS) + 1)
BLANK_WEIGHT = 0.1
"""Weight of "nothing here" among a patch's marks: most patches hold no glyph."""

PLACE_WEIGHT = 4.0
"""Weight of places beside marks: a typical distance from the middle is a quarter of a side."""

TOLD_KINDS = ("word", "card", "shape", "clip", "page")
"""Kinds whose marks say all that their questions ask for."""


def mark_tokens(tokenizer: Any) -> Tensor:
    """Token ids that the classes of the four mark slots stand for: (4, classes), 0 unused."""
    table = torch.zeros(4, max(MARK_CLASSES), dtype=torch.long)
    names = (CHARS, CHARS, [f" {kind}" for kind in KINDS], [f" {colour}" for colour in COLOURS])
    for slot, words in enumerate(names):
        for index, word in enumerate(words):
            table[slot, index + 1] = tokenizer.encode(word)[0]
    return table


def shape_places(marks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which patches hold a shape's centre, and how far from the middle of all of them.

    marks: uint8 (pictures, patches, 4), the four patches of a block in a row; grid: (rows, columns)
    of blocks. Returns bool (pictures, patches) and (pictures, patches, 2): x and y in shares of
    the picture's sides, 0 where no shape is.
    """
    rows, columns = grid
    patch = torch.arange(rows * columns * 4, device=marks.device)
    block, inner = patch // 4, patch % 4
    x = (block % columns + 0.5 * (inner % 2) + 0.25) / columns
    y = (block // columns + 0.5 * (inner // 2) + 0.25) / rows
    held = (marks[..., 2] > 0) & (marks[..., 2] < 255)
    points = torch.stack([x, y], -1) * held[..., None]
    middle = points.sum(1, keepdim=True) / held.sum(1)[:, None, None].clamp(min=1)
    return held, (points - middle) * held[..., None]


class MarkHead(nn.Module):
    """Reads characters and shapes off the tower's patches; used in training only."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, sum(MARK_CLASSES) + 2)

    def loss(self, features: Tensor, marks: Tensor, held: Tensor, places: Tensor) -> Tensor:
        """features (patches, width), marks uint8 (patches, 4), held and places by `shape_places`.

        The mean over known marks and held places.
        """
        outputs = self.linear(self.norm(features)).float().split((*MARK_CLASSES, 2), -1)
        total = PLACE_WEIGHT * place_loss(outputs[-1], held, places)
        for slot, logits in enumerate(outputs[:-1]):
            target = marks[:, slot].long()
            target = target.masked_fill(target == 255, -100)
            weight = torch.ones(MARK_CLASSES[slot], device=logits.device)
            weight[0] = BLANK_WEIGHT
            # Counted by the number of marks, so that a picture without any adds little.
            share = torch.where(target > 0, 1.0, BLANK_WEIGHT) * (target >= 0)
            loss = F.cross_entropy(logits, target, weight, ignore_index=-100, reduction="sum")
            total = total + loss / (share.sum() + 1.0)
        return total


def place_loss(found: Tensor, held: Tensor, places: Tensor) -> Tensor:
    """Mean distance along both axes, over what is held: found and places (items, 2)."""
    return ((found - places).abs().sum(-1) * held).sum() / (held.sum() + 1.0)


def tower_block(block: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One block of Qwen2-VL's tower on equal pictures: (pictures, patches, width) in and out."""
    heads = block.attn.num_heads
    qkv = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, heads, -1))
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    half = q.shape[-1] // 2
    q = q * cos + torch.cat((-q[..., half:], q[..., :half]), -1) * sin
    k = k * cos + torch.cat((-k[..., half:], k[..., :half]), -1) * sin
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + block.attn.proj(mixed)
    return x + block.mlp(block.norm2(x))


class Trainer(nn.Module):
    """The model and its training-only head, with the losses of a group.

    Pictures of a group have one size, so that the tower runs on a dense tensor; the result equals
    the packed form's, which loops over pictures on a CPU.
    """

    def __init__(
        self,
        model: Valley2_5ForConditionalGeneration,
        marked: Tensor | None = None,
        compiled: bool = False,
    ):
        super().__init__()
        self.model = model
        self.register_buffer("marked", marked, persistent=False)
        self.head = MarkHead(model.config.vision_config.embed_dim)
        width = model.config.text_config.hidden_size
        axes = torch.linalg.qr(torch.randn(width, 2))[0].T
        self.register_buffer("axes", axes)
        self.block = torch.compile(tower_block, dynamic=True) if compiled else tower_block
        if compiled:
            for layer in model.model.language_model.layers:
                layer.compile(dynamic=True)

    def features(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """uint8 (pictures, height, width, 3) -> (pictures, patches, tower width)."""
        tower = self.model.model.vision_tower
        kernel = tower.patch_embed.proj.weight.sum(2).flatten(1)
        x = F.linear(patch_rows(pixels, grid), kernel)
        thw = torch.tensor([[1, grid[0] * 2, grid[1] * 2]], device=x.device)
        cos, sin = tower.rotary_pos_emb(x, get_vision_position_ids(thw, 2))
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for block in tower.blocks:
            x = self.block(block, x, cos, sin)
        return x

    def align(self, tokens: Tensor, marks: Tensor, held: Tensor, places: Tensor) -> Tensor:
        """Draws visual tokens (blocks, width) to the embeddings of what their blocks show.

        marks: uint8 (blocks * 4, 4). Characters, kinds and colours stand for their own tokens;
        held and places by `shape_places`, flat.
        """
        found = marks.view(len(tokens), -1, 4).long()
        valid = ((found > 0) & (found < 255)).flatten(1)
        slots = torch.arange(4, device=marks.device).expand_as(found)
        names = self.marked[slots, found.masked_fill(found == 255, 0)].flatten(1)
        table = self.model.model.language_model.embed_tokens.weight.detach()
        scores = F.log_softmax(F.linear(tokens, table).float(), -1).gather(1, names)
        here = held.view(len(tokens), 4).sum(1)
        away = places.view(len(tokens), 4, 2).sum(1) / here.clamp(min=1)[:, None]
        placed = place_loss(tokens.float() @ self.axes.T, here > 0, away)
        return PLACE_WEIGHT * placed - (scores * valid).sum() / (valid.sum() + 1.0)

    def tell(self, tokens: Tensor, marks: Tensor, places: Tensor, number: int) -> Tensor:
        """The first `number` samples' visual tokens replaced by the words for what they show.

        Where it lies is told along the two axes.

        A decoder that meets a tower which has learnt nothing yet learns to do without it. Told
        what a picture shows, it learns from the first step on where to look.
        """
        found = marks.view(len(marks), -1, 4, 4)[:number].long()
        valid = (found > 0) & (found < 255)
        slots = torch.arange(4, device=marks.device).expand_as(found)
        names = self.marked[slots, found.masked_fill(~valid, 0)]
        words = self.model.model.language_model.embed_tokens(names) * valid[..., None]
        here = valid[..., 2].sum(2, keepdim=True).clamp(min=1)
        away = (places.view(len(marks), -1, 4, 2)[:number].sum(2) / here) @ self.axes
        told = (words.sum((2, 3)) + away).view(number, *tokens.shape[1:])
        return torch.cat([told.to(tokens.dtype), tokens[number:]])

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

    def losses(
        self, group: Group, ids: dict[str, int], device: str, told: float
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Summed loss of the answers, losses of marks and alignment, number of right tokens.

        told: share of the samples, where every mark is known, that `tell` replaces.
        """
        pixels = group.pixels.to(device)
        samples, frames = pixels.shape[:2]
        x = self.features(pixels.flatten(0, 1), group.grid)
        shown = group.marks.to(device)
        held, places = shape_places(shown.view(len(x), -1, 4), group.grid)
        flat = shown.view(-1, 4), held.flatten(), places.flatten(0, 1)
        marks = self.head.loss(x.flatten(0, 1), *flat)
        tokens = self.model.model.vision_connector(x)
        aligned = self.align(tokens, *flat)
        tokens = tokens.view(samples, frames, group.grid[0] * group.grid[1], -1)
        if group.kind in TOLD_KINDS:
            tokens = self.tell(tokens, shown, places, round(told * samples))
        after, labels = group.after.to(device), group.labels.to(device)
        embeddings = self.embed(tokens, ids, after)
        states = self.model.model.language_model(inputs_embeds=embeddings, use_cache=False)
        hidden = states.last_hidden_state[:, -after.shape[1] : -1][labels[:, 1:] >= 0]
        logits = self.model.lm_head(hidden).float()
        target = labels[:, 1:][labels[:, 1:] >= 0]
        right = int((logits.detach().argmax(-1) == target).sum())
        return F.cross_entropy(logits, target, reduction="sum"), marks, aligned, right
