"""Configs: nested text and vision parts, readable from the published and the native layout."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.siglip.configuration_siglip import SiglipVisionConfig

from valley.families import Family, family_of
from valley.families.internvl import INTERNVL
from valley.families.sail_vl import SAIL_VL, SAIL_VL2
from valley.families.valley2 import RELEASED, VALLEY2
from valley.families.valley2_5 import VALLEY2_5
from valley.model.files import native_config, token_id


class VisionLanguageConfig(PreTrainedConfig):
    """What every line shares: a decoder, its vision parts and the id that stands for a picture.

    `published` keeps the config.json a checkpoint came with, so that it can be written back.
    Subclasses name their vision parts in `sub_configs`.
    """

    family: ClassVar[Family]
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    text_config: Any = None
    image_token_id: Any = None
    tie_word_embeddings: bool = False
    published: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for name, kind in self.sub_configs.items():
            value = kwargs.pop(name, None) or getattr(self, name, None)
            if isinstance(value, PreTrainedConfig):
                setattr(self, name, value)
                continue
            value = dict(value or {})
            if kind is AutoConfig:
                model_type = value.pop("model_type", "qwen3")
                setattr(self, name, AutoConfig.for_model(model_type, **_coerced(value)))
            else:
                value.pop("model_type", None)
                setattr(self, name, kind(**_coerced(value)))
        super().__post_init__(**kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """As AutoConfig does, tell `from_dict` where the tensors are whose shapes it needs."""
        kwargs.setdefault("name_or_path", pretrained_model_name_or_path)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        return super().from_dict(_native(config_dict, kwargs), **kwargs)


class Valley2_5Config(VisionLanguageConfig):
    """Valley2.5 in the native layout. `connector_hidden_size`: width of the two-layer connector."""

    model_type = "valley2_5"
    family = VALLEY2_5
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": AutoConfig,
        "vision_config": Qwen2VLVisionConfig,
    }

    vision_config: Any = None
    connector_hidden_size: int = 65536


#: The config of a tower of each kind.
TOWER_CONFIGS: dict[str, Any] = {"tiles": SiglipVisionConfig, "native": Qwen2VLVisionConfig}


class Valley2Config(VisionLanguageConfig):
    """Valley2 in the native layout, or another mixture of encoders.

    `towers`: one record a tower, in the order of their tokens: its `name`, its `kind` (`tiles` or
    `native`), as `view` how it looks at a picture (see `valley.tiling`), and its `connector` where
    it has none of its own. Its sizes are the sub-config `NAME_config`. `fusion`: how the towers'
    tokens become those of a picture.
    """

    model_type = "valley2"
    family = VALLEY2

    towers: Any = None
    fusion: str = "sequence"

    def __post_init__(self, **kwargs: Any) -> None:
        self.towers = self.towers or RELEASED["towers"]
        super().__post_init__(**kwargs)

    @property
    def sub_configs(self) -> dict[str, Any]:
        towers = {f"{tower['name']}_config": TOWER_CONFIGS[tower["kind"]] for tower in self.towers}
        return {"text_config": AutoConfig, **towers}


class TiledConfig(VisionLanguageConfig):
    """A line whose one tower sees tiles, in the native layout.

    `downsample_ratio`: of the sides of a tile's token map; `ps_version`: the order of its tokens;
    `select_layer`: whose hidden states are used, -1 for the tower's own output. `template`: the
    name of the chat template. The other fields decide how pictures are cut.
    """

    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": AutoConfig,
        "vision_config": AutoConfig,
    }

    vision_config: Any = None
    downsample_ratio: float = 0.5
    ps_version: str = "v2"
    select_layer: int = -1
    template: str | None = None
    force_image_size: int | None = None
    min_dynamic_patch: int = 1
    use_thumbnail: bool = True


class SailVLConfig(TiledConfig):
    model_type = "sail_vl"
    family = SAIL_VL


class SailVL2Config(TiledConfig):
    model_type = "sail_vl2"
    family = SAIL_VL2


class ValleyInternVLConfig(TiledConfig):
    model_type = "valley_internvl"
    family = INTERNVL


CONFIGS: dict[str, type[VisionLanguageConfig]] = {
    config.model_type: config
    for config in (
        *(Valley2Config, Valley2_5Config),
        *(SailVLConfig, SailVL2Config, ValleyInternVLConfig),
    )
}


class PublishedValleyConfig(PreTrainedConfig):
    """`model_type` "valley" of the published checkpoints: becomes the native config of its line."""

    model_type = "valley"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        return CONFIGS[family_of(config_dict).model_type].from_dict(config_dict, **kwargs)


class PublishedInternVLConfig(PublishedValleyConfig):
    """`model_type` of InternVL's own checkpoints and of SAIL-VL's."""

    model_type = "internvl_chat"


class PublishedSailVL2Config(PublishedValleyConfig):
    model_type = "sailvl"


PUBLISHED = (PublishedValleyConfig, PublishedInternVLConfig, PublishedSailVL2Config)


def _native(config: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """A native config dict, whatever the layout of `config`, with the id of a picture."""
    location = kwargs.get("name_or_path") or config.get("_name_or_path") or ""
    native = native_config(config, location)
    if "image_token_id" not in native:
        native["image_token_id"] = token_id(location, family_of(native).chat.image_token)
    return native


def _coerced(values: dict[str, Any]) -> dict[str, Any]:
    """Whole numbers where transformers' strict configs declare floats (JSON writes 1e-6 and 1)."""
    floats = {
        "rms_norm_eps",
        "layer_norm_eps",
        "rope_theta",
        "attention_dropout",
        "initializer_range",
    }
    return {k: float(v) if k in floats and isinstance(v, int) else v for k, v in values.items()}
