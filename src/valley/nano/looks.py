"""Where heads of the decoder are taught to look, and what they say from the first step.

A head that has to learn at once where to look and what to say of it hardly learns either; here it
says what stands where it looks from the start, and a loss of its own tells it where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

from valley.data.synthetic.sample import PICTURE
from valley.nano.batches import BETWEEN, OPENING, Group, blocks_at, first_after
from valley.nano.codes import HALVES, Codes

POINTING_LAYER = 1
"""Its first head looks from a thing's name at the block that shows the thing."""
COMPARING_LAYER = 2
"""Its first head looks from before an answer at what shows or names the thing that is asked about,
its second at what it is compared with."""
NAMING_HEAD = 2
"""Of both layers: in the first it looks from a question's word for shapes at the blocks that show
them, at each and at NOWHERE with the same weight; in the second from an answer's tokens at that
word, in clips at the blocks at once."""
AMOUNT_HEAD = 3
"""Of the first of these layers: looks from the same word at the same blocks, and so often at
NOWHERE that the share of the blocks tells how many they are."""
MANY = 4
"""So many blocks are looked at as often as NOWHERE."""
SPELLING_LAYERS = (1, 2)
"""Four heads of each look from before a character at the block that shows it, each only if it
stands in the head's own half of the block: the first layer's upper halves, the second's lower."""
NOWHERE = 0
"""The token that they look at where it stands in another half or in none: they say nothing then."""
COPYING = 0.7
"""Size at first of the values that heads take and of what they make of them."""
MATCHING = 2.0
"""Size at first of the queries and keys by which names find things."""
STILL = 7 / 32
"""Share of a head's width from which on its slots turn by less than a radian in 50 tokens."""


@dataclass
class Look:
    """What a head is to look at.

    asking: bool (samples, length after the pictures), the tokens that look; tokens: the number in
    its sequence of what each of them is to look at, or the weights of all (asking tokens, length).
    """

    name: str
    layer: int
    head: int
    asking: Tensor
    tokens: Tensor


def spelling_head(half: int) -> tuple[int, int]:
    """Layer and head that look for the character to be said next in one half of the blocks."""
    return SPELLING_LAYERS[half * 2 // HALVES], HALVES // 2 + half % (HALVES // 2)


def taught_looks(group: Group) -> list[Look]:
    """What heads are to look at while they read a group; none without a token that looks."""
    named = ~group.places[..., 0].isnan()
    things = OPENING + blocks_at(group.places[named], group.grid)
    looks = [Look("pointing", POINTING_LAYER, 0, named, things)]
    compared = group.compared[..., 0] >= 0
    for head, tokens in enumerate(group.compared[compared].unbind(-1)):
        looks.append(Look("comparing", COMPARING_LAYER, head, compared, tokens))
    said = F.pad(group.labels[:, 1:] >= 0, (0, 1))
    block, place = group.spelled[said] // HALVES, group.spelled[said] % HALVES
    for half in range(HALVES):
        here = (group.spelled[said] >= 0) & (place == half)
        tokens = torch.where(here, OPENING + block, NOWHERE)
        looks.append(Look("spelling", *spelling_head(half), said, tokens))
    layer = POINTING_LAYER if group.pixels.shape[1] == 1 else COMPARING_LAYER
    looks.append(Look("naming", layer, NAMING_HEAD, group.naming, shown_to(group)))
    if layer == POINTING_LAYER:
        looks.append(Look("amount", layer, AMOUNT_HEAD, group.naming, shown_to(group, MANY)))
    telling = group.told >= 0
    looks.append(Look("telling", COMPARING_LAYER, NAMING_HEAD, telling, group.told[telling]))
    return [look for look in looks if len(look.tokens)]


def shown_to(group: Group, nowhere: int = 1) -> Tensor:
    """Weights of what naming tokens are to look at: (naming tokens, length of the sequence)."""
    frames, blocks = group.pixels.shape[1], group.grid[0] * group.grid[1]
    weights = torch.zeros(len(group.shown), first_after(frames, blocks) + group.after.shape[1])
    last = OPENING + (frames - 1) * (blocks + BETWEEN)
    weights[:, last : last + blocks] = group.shown
    weights[:, NOWHERE] = nowhere
    return weights / weights.sum(1, keepdim=True)


def looks_right(scores: Tensor, tokens: Tensor) -> Tensor:
    """How far each token looks at what it is to look at, 0 to 1; arguments as in `Look`."""
    if tokens.ndim == 1:
        return (scores.argmax(-1) == tokens).float()
    return torch.minimum(scores.softmax(-1), tokens).sum(-1)


def look_scores(decoder: Any, states: tuple[Tensor, ...], looks: list[Look]) -> list[Tensor]:
    """How much each asking token looks at each token: (asking tokens, length), before the softmax.

    states: the input of each layer (samples, length, width).
    """
    place = torch.arange(states[0].shape[1], device=states[0].device)
    heads = {layer: queries_and_keys(decoder, states, layer) for layer in {x.layer for x in looks}}
    found = []
    for look in looks:
        queries, keys = heads[look.layer]
        sample, token = look.asking.to(place.device).nonzero().unbind(1)
        token = token + len(place) - look.asking.shape[1]
        shared = queries.shape[1] // keys.shape[1]
        scores = queries[:, look.head] @ keys[:, look.head // shared].mT
        scores = scores[sample, token].float() * decoder.layers[look.layer].self_attn.scaling
        # Finite, because a weight of zero times infinity would make the loss no number.
        lowest = torch.finfo(scores.dtype).min
        found.append(scores.masked_fill(place > token[:, None], lowest))
    return found


def queries_and_keys(
    decoder: Any, states: tuple[Tensor, ...], number: int
) -> tuple[Tensor, Tensor]:
    """Of all heads of a layer, as its attention makes them: (samples, heads, length, width)."""
    layer, x = decoder.layers[number], decoder.layers[number].input_layernorm(states[number])
    attention = layer.self_attn
    shape = (-1, attention.head_dim)
    queries = attention.q_norm(attention.q_proj(x).unflatten(-1, shape)).transpose(1, 2)
    keys = attention.k_norm(attention.k_proj(x).unflatten(-1, shape)).transpose(1, 2)
    place = torch.arange(x.shape[1], device=x.device)[None]
    return apply_rotary_pos_emb(queries, keys, *decoder.rotary_emb(x, place))


@torch.no_grad()
def begin_to_copy(decoder: Any, codes: Codes) -> None:
    """Lets taught heads say what stands where they look: a character, a place, a shift."""

    def copy(layer: int, head: int, slot: int, source: Tensor, target: Tensor) -> None:
        attention = decoder.layers[layer].self_attn
        width, number = attention.head_dim, len(source)
        value = head // attention.num_key_value_groups * width + slot
        output = head * width + slot
        attention.v_proj.weight[value : value + number] = F.normalize(source, dim=-1) * COPYING
        attention.o_proj.weight[:, output : output + number] = (
            F.normalize(target.T, dim=0) * COPYING
        )

    for half, code in enumerate(codes.halves):
        layer, head = spelling_head(half)
        copy(layer, head, half % 2 * len(code), code, codes.words)
    copy(POINTING_LAYER, 0, 0, codes.axes, codes.axes)
    copy(COMPARING_LAYER, 0, 0, codes.axes, codes.axes)
    copy(COMPARING_LAYER, 1, 0, codes.axes, -codes.axes)
    kinds = codes.kinds[1:PICTURE] - codes.thing
    what = torch.cat([codes.thing[None], kinds, codes.colours[1:]])
    for layer in (POINTING_LAYER, COMPARING_LAYER):
        copy(layer, NAMING_HEAD, 0, what, what)
    amount = codes.amount[None]
    copy(POINTING_LAYER, AMOUNT_HEAD, 0, what[:1], amount)
    copy(COMPARING_LAYER, NAMING_HEAD, len(what), amount, amount)
    begin_to_match(decoder, what[1:], codes.text)


def begin_to_match(decoder: Any, what: Tensor, text: Tensor) -> None:
    """Lets heads that look from names look at what the names say: (kinds and colours, width).

    Codes and names meet in the slots of a head that its rotary position hardly turns; in another
    the direction of text turns them away from names.
    """
    attention = decoder.layers[POINTING_LAYER].self_attn
    width = attention.head_dim
    slots = torch.arange(width)[torch.arange(width) % (width // 2) >= STILL * width]
    generator = torch.Generator().manual_seed(11)
    near = torch.linalg.qr(torch.randn(len(what), len(what), generator=generator))[0]
    reading = MATCHING * near[: len(slots)] @ F.normalize(what, dim=-1)
    for head in (0, NAMING_HEAD, AMOUNT_HEAD):
        query, key = head * width, head // attention.num_key_value_groups * width
        attention.q_proj.weight[query + slots] = reading
        attention.k_proj.weight[key + slots] = reading
        attention.q_proj.weight[query + slots[0] - 1] = MATCHING * text
        attention.k_proj.weight[key + slots[0] - 1] = -MATCHING * text
