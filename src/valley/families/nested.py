"""What the SAIL-VL and InternVL lines share: a nested config.json, two towers, tensor names.

Source: configuration and modelling code of SAIL-VL-1.6-8B, SAIL-VL2-2B and InternVL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from valley.dynamic_tiling import DynamicTiling
from valley.families.base import Config, Origin, Shapes
from valley.families.flat import TEXT_KEYS, below, stated_dtype, text_part
from valley.prompt import ChatFormat
from valley.types import Budget

#: Keys that mean the same in both layouts. The published classes have other defaults than the
#: published files: a checkpoint must say them.
SHARED_KEYS = (
    "downsample_ratio",
    "min_dynamic_patch",
    "ps_version",
    "select_layer",
    "template",
    "use_thumbnail",
)
DECODERS = ("qwen2", "qwen3")


@dataclass(frozen=True)
class Tower:
    """A vision tower in both layouts.

    `published`: `model_type` of its published config; `keys`: its published keys and their native
    names; `fixed`: what the native config must say besides. `embedded`: whether the published
    hidden states begin with the embeddings, as the native ones do.
    """

    published: tuple[str, ...]
    native: str
    keys: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    embedded: bool = True


_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
)
AIMV2 = Tower(
    published=("aimv2", "sailvit"),
    native="aimv2_vision_model",
    keys={
        **{key: key for key in (*_SIZES, "rms_norm_eps", "qkv_bias")},
        "use_bias": "mlp_bias",
    },
    fixed={"use_head": False, "is_native": False},
    embedded=False,
)
INTERNVIT = Tower(
    published=("intern_vit_6b",),
    native="internvl_vision",
    keys={
        **{key: key for key in (*_SIZES, "layer_norm_eps", "norm_type", "hidden_act")},
        "qkv_bias": "attention_bias",
        "qk_normalization": "use_qk_norm",
    },
    fixed={
        "use_mean_pooling": True,  # no norm after the last layer
        "use_mask_token": False,
        "use_absolute_position_embeddings": True,
    },
)
TOWERS = (AIMV2, INTERNVIT)


def to_native(model_type: str, architecture: str, published: Config, shapes: Shapes) -> Config:
    """Native config from a published one; vocabulary and head are those of the tensors."""
    llm = published.get("llm_config") or {}
    if (decoder := llm.get("model_type")) not in DECODERS:
        raise ValueError(
            f"config.json asks for the decoder {decoder!r}: only Qwen2, Qwen2.5 and Qwen3 are "
            "supported in this line"
        )
    text, tied = text_part(llm, below("language_model.", shapes), decoder)
    vision = published.get("vision_config") or {}
    tower = next((t for t in TOWERS if vision.get("model_type") in t.published), None)
    if tower is None:
        raise ValueError(f"config.json asks for the tower {vision.get('model_type')!r}, not known")
    native = {
        "model_type": model_type,
        "architectures": [architecture],
        **_taken(published, {key: key for key in SHARED_KEYS}, "config.json"),
        "force_image_size": published.get("force_image_size"),
        "text_config": text,
        "tie_word_embeddings": tied,
        "vision_config": {
            "model_type": tower.native,
            **_taken(vision, tower.keys, "vision_config in config.json"),
            **tower.fixed,
        },
        "published": {key: value for key, value in published.items() if key != "auto_map"},
    }
    if native["select_layer"] >= 0 and not tower.embedded:
        native["select_layer"] += 1
    return native | stated_dtype(published)


def _taken(source: Config, keys: Mapping[str, str], where: str) -> Config:
    if missing := [key for key in keys if key not in source]:
        raise ValueError(f"{where} lacks {missing[0]}, which no default can stand in for: add it")
    return {native: source[key] for key, native in keys.items()}


def to_published(architecture: str, model_type: str, native: Config) -> Config:
    """The nested config.json again: what was published, brought up to date with native values."""
    tower = next(t for t in TOWERS if t.native == native["vision_config"]["model_type"])
    published = dict(native.get("published") or {})
    published.setdefault("architectures", [architecture])
    published.setdefault("model_type", model_type)
    published.update({key: native[key] for key in (*SHARED_KEYS, "force_image_size")})
    if native["select_layer"] > 0 and not tower.embedded:
        published["select_layer"] -= 1
    vision = {key: native["vision_config"][name] for key, name in tower.keys.items()}
    for key in ("image_size", "patch_size"):
        vision[key] = side(vision[key])
    stated = published.get("vision_config") or {"model_type": tower.published[0]}
    published["vision_config"] = {**stated, **vision}
    text = dict(native["text_config"])
    rope = text.get("rope_parameters") or {}
    text.setdefault("rope_theta", rope.get("rope_theta", 1e6))
    published["llm_config"] = {
        "model_type": text["model_type"],
        **(published.get("llm_config") or {}),
        **{key: text[key] for key in TEXT_KEYS if text.get(key) is not None},
        "tie_word_embeddings": native["tie_word_embeddings"],
    }
    if native.get("dtype"):
        published["torch_dtype"] = native["dtype"]
    return published


def side(value: Any) -> int:
    """A side in pixels, which a native config may hold as a pair of equal ones."""
    return value[0] if isinstance(value, (list, tuple)) else value


def policy(config: Config) -> DynamicTiling:
    """How the checkpoint of a config.json of either layout cuts pictures; of {}, the released."""
    if not config:
        return DynamicTiling("vision")
    tile = config.get("force_image_size") or side(config["vision_config"]["image_size"])
    patches = tile // side(config["vision_config"]["patch_size"])
    return DynamicTiling(
        "vision",
        side=tile,
        tile_tokens=int(patches**2 * config["downsample_ratio"] ** 2),
        thumbnail=config["use_thumbnail"],
        least=config["min_dynamic_patch"],
    )


def chat_template(system: str, turn_end: str = "") -> str:
    """The chat template of the published conversation code, which is not what checkpoints ship.

    `system` is the system prompt where none is given, `turn_end` what follows `<|im_end|>`.
    """
    end = f"<|im_end|>{turn_end}"
    turn = f"'<|im_start|>' + message['role'] + '\\n' + message['content'] + '{end}'"
    return (
        "{% if messages[0]['role'] != 'system' %}"
        f"{{{{ '<|im_start|>system\\n{system}{end}' }}}}"
        "{% endif %}{% for message in messages %}"
        f"{{{{ {turn} }}}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


CHAT = ChatFormat(
    image_token="<IMG_CONTEXT>",
    image_open="<img>",
    image_close="</img>",
    joiner="\n",
    image_label="Image-{}: ",
    frame_label="Frame{}: ",
    markup=frozenset({"<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"}),
)
#: As the model card's `load_image`.
CARD = Budget(max_tiles=10, max_frames=16)
BUDGET_FIELDS = frozenset({"max_tiles", "scales", "max_frames", "fps", "max_video_tokens"})
PARTS = {
    "embeddings": ("model.language_model.embed_tokens.", "lm_head."),
    "decoder": ("model.language_model.",),
    "tower": ("model.vision_tower.",),
    "connector": ("model.vision_connector.",),
}
INTERNVIT_ORIGIN = Origin("tower", "InternViT", "MIT", tower=INTERNVIT.native)

_BLOCK, _LAYER = "vision_model.trunk.blocks.*.", "model.vision_tower.encoder.layers.*."
_VIT, _VIT_LAYER = "vision_model.encoder.layers.*.", "model.vision_tower.encoder.layer.*."
_EMBEDDINGS = "model.vision_tower.embeddings."
KEY_RULES = (
    ("vision_model.preprocessor.pos_embed", _EMBEDDINGS + "position_embedding.weight"),
    ("vision_model.preprocessor.patchifier.proj.", _EMBEDDINGS + "patch_embed."),
    ("vision_model.preprocessor.patchifier.norm.", _EMBEDDINGS + "rms_norm."),
    ("vision_model.trunk.post_trunk_norm.", "model.vision_tower.rms_norm."),
    (_BLOCK + "attn.qkv.", _LAYER + "attn.qkv."),
    (_BLOCK + "attn.proj.", _LAYER + "attention.out_proj."),
    (_BLOCK + "norm_1.", _LAYER + "rms_norm1."),
    (_BLOCK + "norm_2.", _LAYER + "rms_norm2."),
    (_BLOCK + "mlp.fc1.", _LAYER + "ffn.gate_proj."),
    (_BLOCK + "mlp.fc3.", _LAYER + "ffn.up_proj."),
    (_BLOCK + "mlp.fc2.", _LAYER + "ffn.down_proj."),
    ("vision_model.embeddings.class_embedding", _EMBEDDINGS + "cls_token"),
    ("vision_model.embeddings.position_embedding", _EMBEDDINGS + "position_embeddings"),
    ("vision_model.embeddings.patch_embedding.", _EMBEDDINGS + "patch_embeddings.projection."),
    (_VIT + "attn.qkv.", _VIT_LAYER + "attn.qkv."),
    (_VIT + "attn.proj.", _VIT_LAYER + "attention.projection_layer."),
    (_VIT + "attn.q_norm.", _VIT_LAYER + "attention.q_norm."),
    (_VIT + "attn.k_norm.", _VIT_LAYER + "attention.k_norm."),
    (_VIT + "norm1.", _VIT_LAYER + "layernorm_before."),
    (_VIT + "norm2.", _VIT_LAYER + "layernorm_after."),
    (_VIT + "ls1", _VIT_LAYER + "lambda_1"),
    (_VIT + "ls2", _VIT_LAYER + "lambda_2"),
    (_VIT + "mlp.", _VIT_LAYER + "mlp."),
    ("mlp1.", "model.vision_connector.mlp."),
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
)
#: Both layouts spell the whole alike: transformers' reverse map asks for it.
FUSED = (
    "attn.qkv.",
    ("attention.q_proj.", "attention.k_proj.", "attention.v_proj."),
)
FLATTENED = ("vision_model.preprocessor.pos_embed",)
