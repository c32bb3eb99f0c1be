"""What the towers make of pictures, kept for the next question about the same picture."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from valley.encoding import Encoded, pixel_tensors
from valley.geometry import Plan

#: Bytes of features that are kept.
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Picture:
    """One picture of an encoded request, cut as its plan says."""

    plan: Plan
    patches: NDArray[np.float32] | None
    tiles: NDArray[np.float32] | None

    @property
    def key(self) -> bytes:
        """A hash of all that the towers see."""
        digest = hashlib.blake2b(repr(self.plan).encode(), digest_size=16)
        for array in (self.patches, self.tiles):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
        return digest.digest()


def pictures(encoded: Encoded) -> list[Picture]:
    """The pictures and frames of a request, in reading order."""
    patches, tiles = iter(encoded.patches), iter(encoded.tiles)
    return [
        Picture(
            plan,
            next(patches) if plan.native else None,
            next(tiles) if plan.tiles or plan.tile_grids else None,
        )
        for plan in encoded.plans
    ]


class FeatureCache:
    """Features `[n, D]` of pictures by their content; those used longest ago are let go.

    `size`: bytes kept. `hits`, `misses`: pictures that were known, and that were not.
    """

    def __init__(self, model: Any, max_bytes: int = MAX_BYTES) -> None:
        self._model, self._max_bytes = model, max_bytes
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = Lock()
        self.size = 0
        self.hits = self.misses = 0

    def of(self, requests: Sequence[Encoded]) -> list[Tensor]:
        """One `[n_i, D]` for each picture of the requests, the towers run for those not known."""
        keyed = [(picture.key, picture) for item in requests for picture in pictures(item)]
        with self._lock:
            found = {key: self._known[key] for key, _ in keyed if key in self._known}
        missing = {key: picture for key, picture in keyed if key not in found}
        if missing:
            found |= zip(missing, self._encode(list(missing.values())), strict=True)
        with self._lock:
            self.hits += len(keyed) - len(missing)
            self.misses += len(missing)
            for key, features in found.items():
                self._keep(key, features)
        return [found[key] for key, _ in keyed]

    @torch.inference_mode()
    def _encode(self, new: list[Picture]) -> list[Tensor]:
        patches = [item.patches for item in new if item.patches is not None]
        tiles = [item.tiles for item in new if item.tiles is not None]
        inputs = pixel_tensors(patches, tiles, [item.plan for item in new])
        inputs = {name: tensor.to(self._model.device) for name, tensor in inputs.items()}
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        # Copies: a slice would hold on to the features of its neighbours.
        return [
            item.clone() for item in self._model.model.get_image_features(**inputs).pooler_output
        ]

    def _keep(self, key: bytes, features: Tensor) -> None:
        if key not in self._known:
            self._known[key] = features
            self.size += features.nbytes
        self._known.move_to_end(key)
        while self.size > self._max_bytes:
            _, old = self._known.popitem(last=False)
            self.size -= old.nbytes
