"""The model that vLLM runs: our towers and connectors before a decoder on vLLM's own layers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from vllm.model_executor.models.transformers import TransformersMultiModalForCausalLM
from vllm.multimodal import MULTIMODAL_REGISTRY

from valley.vllm_plugin.pictures import LargestPicture, PictureInfo, PictureProcessor
from valley.vllm_plugin.weights import native_weights


@MULTIMODAL_REGISTRY.register_processor(
    PictureProcessor, info=PictureInfo, dummy_inputs=LargestPicture
)
class Served(TransformersMultiModalForCausalLM):
    """Every line. vLLM's Transformers backend puts its attention, its parallel layers and its cache
    into the decoder; the config says which towers stand before it."""

    def embed_multimodal(self, **pictures: Tensor | list[Tensor]) -> list[Tensor]:
        """The fields of some pictures -> one `[n_i, D]` each."""
        given = self.model.take_pictures(pictures)
        return list(self.model.get_image_features(**given).pooler_output) if given else []

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return super().load_weights(native_weights(weights, self.config.family))

    def _create_hf_to_vllm_mapper(self) -> None:
        # The bare model has no use for the language head, this class has.
        self.model._keys_to_ignore_on_load_unexpected = None
        super()._create_hf_to_vllm_mapper()
