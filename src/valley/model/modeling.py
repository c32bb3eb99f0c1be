"""Vision-language models composed of transformers' decoders and our towers and connectors.

Where an image becomes tokens: `VisionLanguageModel.embed` puts one feature vector in the place of
each placeholder id. Shape letters: `B` batch, `T` tokens, `D` decoder width, `V` vocabulary,
`N` images, `P` patches of all images.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)

from valley.model.branches import BRANCHES, FUSIONS
from valley.model.config import Valley2_5Config, Valley2Config, VisionLanguageConfig
from valley.model.connectors import Connector, MergedMLP
from valley.model.log_probs import target_log_probs
from valley.model.names import native_name
from valley.model.published import takes_sentinels
from valley.model.segments import packed_mask
from valley.model.towers import NativeResolutionTower

#: What some line or other takes of pictures.
IMAGE_INPUTS = (
    *("pixel_values", "image_grid_thw", "tiles", "num_tiles", "image_sizes"),
    *("num_patches", "image_flags"),
)


@dataclass
class TargetLogProbs(CausalLMOutputWithPast):
    """What training reads: `log_probs` `[B, T]` of the labels, as in `model/log_probs.py`."""

    log_probs: Tensor | None = None


class VisionLanguagePreTrainedModel(PreTrainedModel):
    config: VisionLanguageConfig
    base_model_prefix = "model"
    input_modalities: Any = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = [
        "Qwen2DecoderLayer",
        "Qwen3DecoderLayer",
        "Qwen2VLVisionBlock",
        "SiglipEncoderLayer",
        "Aimv2EncoderLayer",
        "InternVLVisionLayer",
    ]
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_attention_backend = True

    def init_parallel_plans(self) -> None:
        """As in transformers. Of weights sharded over processes (FSDP2), those of each block, each
        connector and the embedding are gathered while it runs, the others for a whole step."""
        super().init_parallel_plans()
        embedding = self.get_input_embeddings()
        self._fsdp_plan = {
            re.sub(r"\.\d+(?=\.|$)", ".*", name): "free_full_weight"
            for name, module in self.named_modules()
            if type(module).__name__ in self._no_split_modules
            or isinstance(module, Connector)
            or module is embedding
        }

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """transformers' own loading, in which no Python of a checkpoint runs, nothing is left at
        random and nothing is left over: tensors that are missing, of another shape or of no use
        raise a ValueError, but for those that the line is known to carry (`Layout.stray`)."""
        kwargs["trust_remote_code"] = False
        wants_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        model, info = loaded
        family = model.config.family
        stray = tuple(native_name(prefix, family) for prefix in family.layout.stray)
        for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
            names = [name for name in sorted(map(str, info[problem])) if not name.startswith(stray)]
            if names:
                number = f"{len(names)} {problem.replace('_', ' ')}"
                raise ValueError(
                    f"{pretrained_model_name_or_path}: {number}, such as {names[0]}: "
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

    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^lm_head\."]

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
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        unseen_pictures: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """`unseen_pictures`: arguments of `get_image_features` that only keep the towers at work,
        where each rank of a training has to run them and this one has no picture."""
        features = (mm_encoder_outputs or {}).get("image")
        unseen: Any = []
        if pictures := self.take_pictures(kwargs):
            features = self.get_image_features(**pictures)
        elif unseen_pictures:
            # At the same place, for all ranks gather the weights that they share in the same order.
            unseen = self.get_image_features(**unseen_pictures).pooler_output
        if inputs_embeds is None and input_ids is not None:
            pooled: Any = features.pooler_output if features else None
            inputs_embeds = self.embed(input_ids, pooled)
        for item in unseen:
            inputs_embeds = inputs_embeds + 0.0 * item.sum()
        if "cu_seq_lens_q" in kwargs and attention_mask is None:
            attention_mask = packed_mask(self.language_model)
        return self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )

    def take_pictures(self, arguments: dict[str, Any]) -> dict[str, Tensor]:
        """The arguments of `get_image_features`, taken out of `arguments`; {} without pictures.

        Raises ValueError where some of them are missing.
        """
        given = {name: arguments.pop(name, None) for name in IMAGE_INPUTS}
        wanted = (*self.image_inputs, *self.optional_image_inputs)
        pictures = {name: given[name] for name in wanted if given[name] is not None}
        missing = [name for name in self.image_inputs if name not in pictures]
        if pictures and missing:
            raise ValueError(f"{', '.join(pictures)} were given without {', '.join(missing)}")
        return pictures

    @staticmethod
    def published_pictures(images: Any, image_sizes: Any) -> dict[str, Tensor]:
        """What the published arguments `images` and `image_sizes` add to `image_inputs`."""
        return {}

    #: Arguments of `get_image_features`.
    image_inputs: Any = ("pixel_values",)
    #: Further ones, which a call may leave out.
    optional_image_inputs: ClassVar[tuple[str, ...]] = ()


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
        tiles: Tensor | None = None,
        num_tiles: Tensor | None = None,
        image_sizes: Tensor | None = None,
        num_patches: Tensor | None = None,
        image_flags: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        only_log_probs: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits `[B, T, V]` and, with `labels` `[B, T]` (-100 ignored), the mean cross-entropy.

        Every line's picture inputs are named, for whoever reads this signature; which of them a
        line takes says its `get_image_features`.
        `only_log_probs`: instead of both the log-probabilities of the labels, for training.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            tiles=tiles,
            num_tiles=num_tiles,
            image_sizes=image_sizes,
            num_patches=num_patches,
            image_flags=image_flags,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        if only_log_probs and labels is not None:
            found = target_log_probs(hidden, self.lm_head.weight, labels)
            return TargetLogProbs(log_probs=found)
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

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """As transformers' own; pictures are encoded once, whatever a line calls their inputs.
        `unseen_pictures`: as in `VisionLanguageModel.forward`."""
        unseen = kwargs.pop("unseen_pictures", None)
        if pictures := self.model.take_pictures(kwargs):
            features = self.model.get_image_features(**pictures)
            kwargs["mm_encoder_outputs"] = {"image": features}
        elif unseen:
            self.model.get_image_features(**unseen)
        return super().generate(inputs, *args, **kwargs)

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
    image_inputs = ("pixel_values", "image_grid_thw")

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


class Valley2Model(VisionLanguageModel):
    """A mixture of encoders as the config lists them: see `valley.model.branches`."""

    config: Valley2Config

    def build_vision(self, config: Valley2Config) -> None:
        width = config.text_config.hidden_size
        self.branches = nn.ModuleDict()
        for record in config.towers:
            sizes = getattr(config, f"{record['name']}_config")
            self.branches[record["name"]] = BRANCHES[record["kind"]](record, sizes, width)
        self.fuse = FUSIONS[config.fusion]

    @property
    def image_inputs(self) -> tuple[str, ...]:
        inputs = [name for branch in self.branches.values() for name in branch.inputs]
        return tuple(dict.fromkeys(inputs))

    def get_image_features(
        self, pixel_values: Tensor | None = None, **pictures: Tensor
    ) -> BaseModelOutputWithPooling:
        """`pooler_output`: one `[n_i, D]` per image. The inputs are those of the branches."""
        given = {"pixel_values": pixel_values, **pictures}
        encoded = [
            branch(**{name: given[name] for name in branch.inputs})
            for branch in self.branches.values()
        ]
        features: Any = self.fuse(encoded)
        return BaseModelOutputWithPooling(pooler_output=features)

    @staticmethod
    def published_pictures(images: Any, image_sizes: Any) -> dict[str, Tensor]:
        """The published `images` (`[[one tensor [tiles, 3, S, S] per picture]]`, or one tensor
        `[N, 3, S, S]` per sample where nothing is tiled) and `image_sizes` as our arguments."""
        if images is None or image_sizes is None:
            raise ValueError("Valley2 needs images=… and image_sizes=… beside pixel_values")
        stacks = [
            stack[None] if stack.ndim == 3 else stack for sample in images for stack in sample
        ]
        sizes = [list(size) for sample in image_sizes for size in sample]
        return {
            "tiles": pad_sequence(stacks, batch_first=True),
            "num_tiles": torch.tensor([len(stack) for stack in stacks]),
            "image_sizes": torch.tensor(sizes),
        }


@takes_sentinels
class Valley2ForConditionalGeneration(VisionLanguageForConditionalGeneration):
    config: Valley2Config
    base_class = Valley2Model
