"""Features of pictures, kept for a while: several questions about one picture encode it once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from valley.encoding import Encoded, pixel_tensors
from valley.geometry import Plan

#: Bytes of features that are kept.
CAPACITY = 2**28


class Pictures:
    """The towers of a model, and what they made of the pictures of late."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = Lock()

    def encode(self, batch: Sequence[Encoded]) -> BaseModelOutputWithPooling | None:
        """As `get_image_features` of all pictures of a batch, in order; None where it has none."""
        pictures = [one for item in batch for one in _pictures(item)]
        if not pictures:
            return None
        keys = [_key(*one) for one in pictures]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        fresh = {key: one for key, one in zip(keys, pictures, strict=True) if key not in found}
        if fresh:
            found |= zip(fresh, self._features(list(fresh.values())), strict=True)
        self._keep(found)
        features: Any = [found[key] for key in keys]
        return BaseModelOutputWithPooling(pooler_output=features)

    def _features(self, pictures: Sequence[tuple[Plan, Any, Any]]) -> Sequence[Tensor]:
        plans = [plan for plan, _, _ in pictures]
        patches = [array for _, array, _ in pictures if array is not None]
        tiles = [array for _, _, array in pictures if array is not None]
        inputs = pixel_tensors(patches, tiles, plans)
        moved = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        if "pixel_values" in moved:
            moved["pixel_values"] = moved["pixel_values"].to(self.model.dtype)
        features: Sequence[Tensor] = self.model.model.get_image_features(**moved).pooler_output
        return features

    def _keep(self, features: dict[bytes, Tensor]) -> None:
        """The latest stay, as many as there is room for."""
        with self._lock:
            for key, tensor in features.items():
                # A part of a batch's features would hold the memory of all of them.
                self._kept[key] = self._kept.pop(key) if key in self._kept else tensor.clone()
            size = sum(tensor.nbytes for tensor in self._kept.values())
            while size > CAPACITY:
                size -= self._kept.popitem(last=False)[1].nbytes


def _pictures(item: Encoded) -> list[tuple[Plan, NDArray[np.float32] | None, Any]]:
    """The plan, the patches and the tiles of each picture."""
    patches = item.patches or [None] * len(item.plans)
    tiles = item.tiles or [None] * len(item.plans)
    return list(zip(item.plans, patches, tiles, strict=True))


def _key(plan: Plan, *pixels: NDArray[np.float32] | None) -> bytes:
    digest = hashlib.blake2b(repr(plan).encode(), digest_size=20)
    for array in pixels:
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.digest()
