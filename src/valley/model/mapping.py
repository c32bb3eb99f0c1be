"""The key rules of a published layout as transformers' own transforms, exact both ways."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.core_model_loading import (
    Chunk,
    ConversionOps,
    WeightConverter,
    WeightRenaming,
)

from valley.families import Layout


class LeadingDimension(ConversionOps):
    """`[1, …] -> […]`, or back with `add`."""

    def __init__(self, add: bool = False) -> None:
        self.add = add

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        (value,) = input_dict.values()
        tensor = value[0] if isinstance(value, list) else value
        return {target_patterns[0]: tensor.unsqueeze(0) if self.add else tensor.squeeze(0)}

    @property
    def reverse_op(self) -> ConversionOps:
        return LeadingDimension(not self.add)


def transforms(layout: Layout) -> list[WeightRenaming | WeightConverter]:
    """What turns the published tensors into the native ones; transformers reverses it."""
    result: list[WeightRenaming | WeightConverter] = []
    for published, native in layout.key_rules:
        source, target = _regex(published), _regex(native).replace(r"(\d+)", r"\1")
        if published in layout.flattened:
            result.append(WeightConverter([source], [target], [LeadingDimension()]))
        else:
            result.append(WeightRenaming(source, target))
    whole, parts = layout.fused
    for ending in ("weight", "bias") if parts else ():
        names = [part + ending for part in parts]
        result.append(WeightConverter([whole + ending], names, [Chunk(dim=0)]))
    return result


def _regex(prefix: str) -> str:
    """Anchored, so that the reverse map is exact too."""
    return "^" + prefix.replace(".", r"\.").replace("*", r"(\d+)")
