"""Vision-language models composed of transformers' decoders and our towers and connectors.

Where an image becomes tokens: `VisionLanguageModel.embed` puts one feature vector in the place of
each placeholder id. Shape letters: `B` batch, `T` tokens, `D` decoder width, `V` vocabulary,
`N` images, `P` patches of all images.
"""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)

from valley.model.config import Valley2_5Config, VisionLanguageConfig
from valley.model.connectors import MergedMLP
from valley.model.published import takes_sentinels
from valley.model.towers import NativeResolutionTower


class VisionLanguagePreTrainedModel(PreTrainedModel):
    config: VisionLanguageConfig
    base_model_prefix = "model"
    input_modalities: Any = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["Qwen3DecoderLayer", "Qwen2VLVisionBlock"]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """transformers' own loading, in which no Python of a checkpoint runs, and nothing is left
        at random: tensors that are missing or have another shape raise a ValueError."""
        kwargs["trust_remote_code"] = False
        wants_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        model, info = loaded
        for problem in ("missing_keys", "mismatched_keys"):
            if info[problem]:
                first = sorted(map(str, info[problem]))[0]
                number = f"{len(info[problem])} {problem.replace('_', ' ')}"
                raise ValueError(
                    f"{pretrained_model_name_or_path}: {number}, such as {first}: "
                    "`valley inspect` lists them"
                )
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write the native layout; `valley convert` writes the published one."""
        kwargs.setdefault("save_original_format", False)
        super().save_pretrained(save_directory, **kwargs)


class VisionLanguageModel(VisionLanguagePreTrainedModel):
    """Towers and connectors in front of a decoder, without the language head.

    Subclasses build their vision parts in `build_vision` and encode pictures in
    `get_image_features`.
    """

    def __init__(self, config: VisionLanguageConfig) -> None:
        super().__init__(config)
        self.build_vision(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def build_vision(self, config: VisionLanguageConfig) -> None:
        raise NotImplementedError

    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        raise NotImplementedError

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def embed(self, input_ids: Tensor, features: Sequence[Tensor] | None = None) -> Tensor:
        """`[B, T]` ids and one `[n_i, D]` per image, in order -> `[B, T, D]`."""
        embeddings = self.get_input_embeddings()(input_ids)
        if not features:
            return embeddings
        mask = input_ids.eq(self.config.image_token_id)
        if (expected := int(mask.sum())) != (given := sum(map(len, features))):
            raise ValueError(
                f"the prompt has {expected} image placeholders, the {len(features)} images "
                f"{[len(item) for item in features]} make {given} tokens: the two must be equal"
            )
        merged = torch.cat(list(features)).to(embeddings.device, embeddings.dtype)
        return embeddings.masked_scatter(mask.unsqueeze(-1).expand_as(embeddings), merged)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        features = (mm_encoder_outputs or {}).get("image")
        if pixel_values is not None:
            pictures = {k: kwargs.pop(k) for k in self.image_inputs if kwargs.get(k) is not None}
            features = self.get_image_features(pixel_values, **pictures)
        if inputs_embeds is None and input_ids is not None:
            pooled: Any = features.pooler_output if features else None
            inputs_embeds = self.embed(input_ids, pooled)
        return self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )

    #: Arguments of `get_image_features` besides `pixel_values`.
    image_inputs: ClassVar[tuple[str, ...]] = ()


class VisionLanguageForConditionalGeneration(VisionLanguagePreTrainedModel, GenerationMixin):
    """A vision-language model with its language head."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "lm_head.weight": "model.language_model.embed_tokens.weight"
    }
    base_class: ClassVar[type[VisionLanguageModel]]

    def __init__(self, config: VisionLanguageConfig) -> None:
        super().__init__(config)
        self.model = self.base_class(config)
        text = config.text_config
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits `[B, T, V]` and, with `labels` `[B, T]` (-100 ignored), the mean cross-entropy."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, keep])
        loss = None
        if labels is not None:
            vocab_size = self.config.text_config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: Any,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Pictures take part in the first step only, or in every step where there is no cache."""
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if is_first_iteration or not kwargs.get("use_cache", True):
            inputs["mm_encoder_outputs"] = mm_encoder_outputs
        return inputs


class Valley2_5Model(VisionLanguageModel):
    config: Valley2_5Config
    image_inputs = ("image_grid_thw",)

    def build_vision(self, config: Valley2_5Config) -> None:
        vision = config.vision_config
        self.vision_tower = NativeResolutionTower._from_config(vision)
        self.vision_connector = MergedMLP(
            vision.embed_dim,
            vision.spatial_merge_size**2,
            config.connector_hidden_size,
            config.text_config.hidden_size,
        )

    def get_image_features(
        self, pixel_values: Tensor, image_grid_thw: Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """`[P, 1176]` patches and `[N, 3]` grids -> `pooler_output`: one `[n_i, D]` per image."""
        patches = self.vision_tower(pixel_values, grid_thw=image_grid_thw).last_hidden_state
        block = self.config.vision_config.spatial_merge_size**2
        counts = (image_grid_thw.prod(-1) // block).tolist()
        return BaseModelOutputWithPooling(
            pooler_output=self.vision_connector(patches).split(counts)
        )


@takes_sentinels
class Valley2_5ForConditionalGeneration(VisionLanguageForConditionalGeneration):
    config: Valley2_5Config
    base_class = Valley2_5Model


#: The model class of each config class.
MODELS: dict[type[VisionLanguageConfig], type[VisionLanguageForConditionalGeneration]] = {
    Valley2_5Config: Valley2_5ForConditionalGeneration,
}
