"""From tower features to decoder embeddings."""

from __future__ import annotations

from torch import Tensor, nn


class MergedMLP(nn.Module):
    """LayerNorm, concatenate each block of patches, Linear, GELU, Linear.

    The merger of Qwen2-VL with a width of its own (Valley2.5 report: "64k"). Patches arrive in
    block order, so that the concatenation is a reshape. Shapes: `[P, E] -> [P / block, D]` with
    `P` patches, `E` tower width, `D` decoder width.
    """

    def __init__(self, embed_dim: int, block: int, hidden_size: int, out_size: int) -> None:
        super().__init__()
        self.width = embed_dim * block
        self.ln_q = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(self.width, hidden_size), nn.GELU(), nn.Linear(hidden_size, out_size)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.mlp(self.ln_q(features).view(-1, self.width))
