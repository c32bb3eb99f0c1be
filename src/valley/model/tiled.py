"""SAIL-VL and InternVL: one tower sees every tile of every picture at the same size."""

import os
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from valley.model.chatting import PublishedChat
from valley.model.config import (
    SailVL2Config,
    SailVLConfig,
    TiledConfig,
    ValleyInternVLConfig,
)
from valley.model.connectors import NormedPixelShuffleMLP
from valley.model.modeling import VisionLanguageForConditionalGeneration, VisionLanguageModel


class TiledModel(VisionLanguageModel):
    config: TiledConfig
    optional_image_inputs = ("num_patches", "image_flags")

    def build_vision(self, config: TiledConfig) -> None:
        if config.ps_version not in ("v1", "v2"):
            raise ValueError(
                f"ps_version {config.ps_version!r} in config.json is neither v1 nor v2"
            )
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.vision_connector = NormedPixelShuffleMLP(
            config.vision_config.hidden_size,
            round(1 / config.downsample_ratio),
            config.text_config.hidden_size,
            by_columns=config.ps_version == "v1",
        )

    def get_image_features(
        self,
        pixel_values: Tensor,
        num_patches: Tensor | None = None,
        image_flags: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """`[tiles, 3, S, S]` -> `pooler_output`: one `[n_i, D]` a picture.

        `num_patches` `[N]`: tiles of each picture, one where it is not given. `image_flags`
        `[tiles]` or `[tiles, 1]`: 0 marks a tile that stands for no picture. It is encoded and
        left out then, so that a batch without pictures trains every parameter, with no gradient.
        """
        layer = self.config.select_layer
        seen = self.vision_tower(
            pixel_values.to(self.vision_tower.dtype), output_hidden_states=layer != -1
        )
        features = seen.last_hidden_state if layer == -1 else seen.hidden_states[layer]
        tokens = self.vision_connector(features)
        if image_flags is not None:
            tokens = tokens[image_flags.flatten().bool()]
        counts = [1] * len(tokens) if num_patches is None else num_patches.flatten().tolist()
        counts = counts or [0]
        if sum(counts) != len(tokens):
            raise ValueError(
                f"num_patches {counts} add up to {sum(counts)}, not {len(tokens)} tiles"
            )
        pictures: Any = [part.flatten(0, 1) for part in tokens.split(counts)]
        return BaseModelOutputWithPooling(pooler_output=pictures)


class TiledForConditionalGeneration(PublishedChat, VisionLanguageForConditionalGeneration):
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """As in every line; a generation config that names no end token, as these checkpoints
        ship, gets the decoder's."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        for name in ("eos_token_id", "pad_token_id"):
            if getattr(model.generation_config, name) is None:
                setattr(model.generation_config, name, getattr(model.config.text_config, name))
        return loaded

    def extract_feature(self, pixel_values: Tensor) -> Tensor:
        """`[tiles, 3, S, S]` -> `[tiles, n, D]`, by its published name."""
        return torch.stack(self.model.get_image_features(pixel_values).pooler_output)

    def generate(
        self,
        inputs: Tensor | None = None,
        *args: Any,
        visual_features: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in every line. `visual_features` `[tiles, n, D]`, what `extract_feature` returns, are
        taken in place of `pixel_values`, which are not looked at then."""
        if visual_features is not None:
            for name in ("pixel_values", "num_patches"):
                kwargs.pop(name, None)
            tiles: Any = visual_features.flatten(0, -2).split(self.num_image_token)
            features = BaseModelOutputWithPooling(pooler_output=tiles)
            kwargs["mm_encoder_outputs"] = {"image": features}
        return super().generate(inputs, *args, **kwargs)


class SailVLModel(TiledModel):
    config: SailVLConfig


class SailVLForConditionalGeneration(TiledForConditionalGeneration):
    config: SailVLConfig
    base_class = SailVLModel


class SailVL2Model(TiledModel):
    config: SailVL2Config


class SailVL2ForConditionalGeneration(TiledForConditionalGeneration):
    config: SailVL2Config
    base_class = SailVL2Model


class ValleyInternVLModel(TiledModel):
    config: ValleyInternVLConfig


class ValleyInternVLForConditionalGeneration(TiledForConditionalGeneration):
    config: ValleyInternVLConfig
    base_class = ValleyInternVLModel
