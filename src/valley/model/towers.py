"""Vision towers: transformers' own classes, with what our lines need changed."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel


class PatchEmbed(nn.Module):
    """The tower's patch convolution as one matrix product (equal, and 3x faster on a CPU).

    Its stride is its kernel, so every patch is one row: `[P, C*T*H*W] -> [P, E]`.
    """

    def __init__(self, proj: nn.Conv3d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight
        return F.linear(patches.to(weight.dtype), weight.flatten(1))


class MergingTower(Qwen2VisionTransformerPretrainedModel):
    """Qwen2-VL's vision transformer with its own merger, at native resolution.

    `forward(patches [P, C*T*H*W], grid_thw [N, 3])`: `pooler_output` is `[P / 4, D]`.
    """

    def __init__(self, config: Qwen2VLVisionConfig) -> None:
        super().__init__(config)
        self.add_module("patch_embed", PatchEmbed(self.patch_embed.proj))


class NativeResolutionTower(MergingTower):
    """The same without its merger: `last_hidden_state` is `[P, E]`, patches in block order."""

    def __init__(self, config: Qwen2VLVisionConfig) -> None:
        super().__init__(config)
        self.add_module("merger", nn.Identity())
