"""The shape of the embedded model."""

from __future__ import annotations

import math

import torch
from torch import nn

from valley.model.config import Valley2_5Config

NEIGHBOURS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
"""Where the tower's heads look at first, in patches (down, right); one more looks anywhere."""
ATTRACTION = 3.5
FREQUENCIES = 3
"""How strongly, and by how many of the rotary frequencies of an axis, fastest first."""


def nano_config(vocabulary: int, token: dict[str, int]) -> Valley2_5Config:
    """Sizes of the model: about 6.2 million weights."""
    text = {
        "model_type": "qwen3",
        "vocab_size": vocabulary,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
        "initializer_range": 0.04,
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    vision = {
        "depth": 6,
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
    for block in tower.blocks:
        heads, bias = block.attn.num_heads, block.attn.qkv.bias
        width = len(bias) // (3 * heads)
        queries, keys, _ = bias.zero_().view(3, heads, 2, width // 2).unbind(0)
        per_axis = width // 4
        for head, offsets in enumerate(NEIGHBOURS[: heads - 1]):
            for axis, offset in enumerate(offsets):
                for index in range(FREQUENCIES):
                    angle = offset * 10000.0 ** (-index / per_axis)
                    place = axis * per_axis + index
                    queries[head, 0, place] = ATTRACTION * math.cos(angle)
                    queries[head, 1, place] = ATTRACTION * math.sin(angle)
                    keys[head, 0, place] = ATTRACTION
