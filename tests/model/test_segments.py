"""Attention inside the samples of a packed row: equal to a mask, and nothing leaks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2Model, Qwen3Config, Qwen3Model

from valley.model.segments import SEGMENTS, packed_mask

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
BOUNDS = torch.tensor([0, 7, 20, 21, 26], dtype=torch.int32)
POSITIONS = torch.cat([torch.arange(n) for n in (BOUNDS[1:] - BOUNDS[:-1]).tolist()])[None]


@pytest.fixture(params=["qwen2", "qwen3"])
def decoder(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    if request.param == "qwen2":
        return Qwen2Model(Qwen2Config(**SIZES)).eval()
    return Qwen3Model(Qwen3Config(**SIZES)).eval()


def run(decoder: Any, embeddings: torch.Tensor, attention: str) -> torch.Tensor:
    decoder.set_attn_implementation(attention)
    return decoder(
        inputs_embeds=embeddings,
        attention_mask=packed_mask(decoder),
        position_ids=POSITIONS,
        cu_seq_lens_q=BOUNDS,
        cu_seq_lens_k=BOUNDS,
        use_cache=False,
    ).last_hidden_state


def test_equal_on_every_implementation_and_to_samples_alone(decoder: Any) -> None:
    embeddings = torch.randn(1, 26, 32)
    pieces = zip(BOUNDS.tolist(), BOUNDS[1:].tolist(), strict=False)
    alone = torch.cat(
        [
            decoder(inputs_embeds=embeddings[:, a:b], use_cache=False).last_hidden_state
            for a, b in pieces
        ],
        dim=1,
    )
    for attention in (SEGMENTS, "sdpa", "eager"):
        torch.testing.assert_close(run(decoder, embeddings, attention), alone, atol=2e-6, rtol=1e-5)


def test_no_sample_feels_another(decoder: Any) -> None:
    embeddings = torch.randn(1, 26, 32, requires_grad=True)
    run(decoder, embeddings, SEGMENTS)[0, 7:20].sum().backward()
    assert embeddings.grad is not None
    felt = embeddings.grad[0].abs().sum(-1) > 0
    assert felt[7:20].all()
    assert not felt[:7].any()
    assert not felt[20:].any()


def test_without_bounds_it_is_sdpa(decoder: Any) -> None:
    embeddings, mask = torch.randn(2, 9, 32), torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = 0
    found = []
    for attention in (SEGMENTS, "sdpa"):
        decoder.set_attn_implementation(attention)
        states = decoder(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
        found.append(states[mask.bool()])
    assert torch.equal(*found)
