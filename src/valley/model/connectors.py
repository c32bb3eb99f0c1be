"""From tower features to decoder embeddings."""

from __future__ import annotations

import math

from torch import Tensor, nn


class Connector(nn.Module):
    """What all connectors are."""


class MergedMLP(Connector):
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


class VisualVocabulary(Connector):
    """A stride-2 convolution, then probabilities over a visual vocabulary, then its embeddings.

    The connector of Valley2, in the manner of Ovis (arXiv 2405.20797): a tile's tokens are mixtures
    of `vocab_size` learnt embeddings. Shapes: `[N, S*S, E] -> [N, ceil(S/2)^2, D]` with `N` tiles
    of `S` x `S` patches, `E` tower width, `D` decoder width.
    """

    def __init__(self, embed_dim: int, vocab_size: int, out_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(embed_dim, embed_dim, kernel_size=3, stride=2, padding=1)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim, vocab_size, bias=False), nn.LayerNorm(vocab_size)
        )
        self.embedding = nn.Embedding(vocab_size, out_size)

    def forward(self, features: Tensor) -> Tensor:
        side = math.isqrt(features.shape[1])
        maps = features.transpose(1, 2).unflatten(2, (side, side))
        # vLLM's products on a CPU take rows whose numbers lie side by side.
        reduced = self.conv(maps).flatten(2).transpose(1, 2).contiguous()
        return self.mlp(reduced).softmax(-1) @ self.embedding.weight


def neighbours(features: Tensor, block: int, *, by_columns: bool = False) -> Tensor:
    """Pixel shuffle: each block of `block` x `block` patches as one vector, its patches row by row.

    `[N, S*S, E] -> [N, (S / block)^2, E * block^2]`, row by row or column by column. A class token
    in front is left out.
    """
    side = math.isqrt(features.shape[1])
    count = side // block
    patches = features[:, features.shape[1] - side**2 :]
    blocks = patches.unflatten(1, (count, block, count, block))
    order = (0, 3, 1, 2, 4, 5) if by_columns else (0, 1, 3, 2, 4, 5)
    return blocks.permute(order).flatten(3).flatten(1, 2)


class PixelShuffleMLP(Connector):
    """Each block of `block` x `block` neighbours as one vector, Linear, GELU, Linear.

    The connector "mlp_pixel_shuffle" of the published Valley2 code. Shapes:
    `[N, S*S, E] -> [N, (S / block)^2, D]` with `N` tiles of `S` x `S` patches, `E` tower width,
    `D` decoder width.
    """

    def __init__(self, embed_dim: int, block: int, hidden_size: int, out_size: int) -> None:
        super().__init__()
        self.block = block
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim * block**2, hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, out_size),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.mlp(neighbours(features, self.block))


class NormedPixelShuffleMLP(Connector):
    """Each block of neighbours as one vector, LayerNorm, Linear, GELU, Linear.

    `mlp1` of InternVL (arXiv 2404.16821). Tokens stand row by row, or column by column with
    `by_columns` (the published `ps_version` v1). Shapes:
    `[N, S*S, E] -> [N, (S / block)^2, D]` with `N` tiles of `S` x `S` patches, `E` tower width,
    `D` decoder width.
    """

    def __init__(
        self, embed_dim: int, block: int, out_size: int, *, by_columns: bool = False
    ) -> None:
        super().__init__()
        width = embed_dim * block**2
        self.block, self.by_columns = block, by_columns
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, out_size),
            nn.GELU(),
            nn.Linear(out_size, out_size),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.mlp(neighbours(features, self.block, by_columns=self.by_columns))


#: Connectors of towers that see tiles.
CONNECTORS: dict[str, type[VisualVocabulary | PixelShuffleMLP]] = {
    "visual_vocabulary": VisualVocabulary,
    "pixel_shuffle": PixelShuffleMLP,
}
