"""Attention inside the samples of a packed row only, one sample at a time.

A row of samples needs no mask of its square: each sample is a causal block of its own. Under the
name `segments` transformers' decoders take it as an attention implementation; where a call has no
`cu_seq_lens_q` it is plain sdpa. Flash attention reads the same argument by itself.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SEGMENTS = "segments"


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """`[1, H, T, d]` queries of a row whose samples begin at `cu_seq_lens_q` `[S + 1]`."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    bounds = cu_seq_lens_q.tolist()
    kwargs["is_causal"] = True
    outputs = []
    for start, end in pairwise(bounds):
        q, k, v = (states[:, :, start:end] for states in (query, key, value))
        outputs.append(sdpa_attention_forward(module, q, k, v, None, **kwargs)[0])
    return torch.cat(outputs, dim=1), None


def packed_mask(decoder: PreTrainedModel) -> Any:
    """The `attention_mask` of a packed row: nothing to build where samples are attended one by one,
    else None, which lets transformers read the samples off the position ids."""
    alone = decoder.config._attn_implementation in (SEGMENTS, "flash_attention_2")
    return {"full_attention": None} if alone else None


ALL_ATTENTION_FUNCTIONS.register(SEGMENTS, segment_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(SEGMENTS, sdpa_mask)
