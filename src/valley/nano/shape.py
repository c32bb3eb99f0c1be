"""The shape of the embedded model."""

from __future__ import annotations

import math

import torch
from torch import nn

from valley.model.config import Valley2_5Config

BEFORE = -math.inf
"""In place of an offset: anywhere on the way to the edge, up or left."""
NEAR = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
FAR = ((0, 0), (0, -1), (0, 1), (0, BEFORE), (BEFORE, 0))
"""Where the tower's heads look at first in its lower and in its upper half, in patches (down,
right); one more looks anywhere. What lies before a patch in its row tells which character of its
word it shows, and together with what lies above it, its place: the tower has no other."""
ATTRACTION = 3.5
FREQUENCIES = 3
"""How strongly, and by how many of the rotary frequencies of an axis, fastest first; the fastest
of all turns too soon to tell what lies before."""


def nano_config(vocabulary: int, token: dict[str, int]) -> Valley2_5Config:
    """Sizes of the model: about 7.2 million weights."""
    text = {
        "model_type": "qwen3",
        "vocab_size": vocabulary,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
        "initializer_range": 0.04,
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    vision = {
        "depth": 8,
        "embed_dim": 192,
        "num_heads": 6,
        "mlp_ratio": 4,
        "hidden_size": 256,
        "initializer_range": 0.04,
    }
    return Valley2_5Config(
        text_config=text,
        vision_config=vision,
        connector_hidden_size=768,
        image_token_id=token["<|image_pad|>"],
        tie_word_embeddings=True,
        eos_token_id=token["<|im_end|>"],
        pad_token_id=token["<|endoftext|>"],
    )


@torch.no_grad()
def attend_to_neighbours(tower: nn.Module) -> None:
    """Biases of queries and keys by which heads begin as the taps of a convolution.

    In the manner of arXiv 2103.10697, with rotary positions: a key turned by an offset meets its
    query at that offset best, whatever the patches show.
    """
    blocks = list(tower.blocks.children())
    for number, block in enumerate(blocks):
        heads, bias = block.attn.num_heads, block.attn.qkv.bias
        width = len(bias) // (3 * heads)
        queries, keys, _ = bias.zero_().view(3, heads, 2, width // 2).unbind(0)
        per_axis = width // 4
        taps = NEAR if number < len(blocks) / 2 else FAR
        for head, offsets in enumerate(taps[: heads - 1]):
            for axis, offset in enumerate(offsets):
                before = offset == BEFORE
                for index in range(before, before + FREQUENCIES):
                    turn = offset * 10000.0 ** (-index / per_axis)
                    angle = -math.pi / 2 if before else turn
                    place = axis * per_axis + index
                    queries[head, 0, place] = ATTRACTION * math.cos(angle)
                    queries[head, 1, place] = ATTRACTION * math.sin(angle)
                    keys[head, 0, place] = ATTRACTION
