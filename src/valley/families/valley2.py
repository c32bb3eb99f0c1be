"""Valley2 and Valley2-DPO: SigLIP tiles through a visual vocabulary beside Qwen2-VL's own tower.

Source: the published remote code and config.json of Valley-Eagle-7B and Valley2-DPO. Sizes of the
towers stand nowhere in it: they are read from the checkpoint's tensors.
"""

from valley.families.base import Config, Family, Layout, Origin, Shapes
from valley.families.flat import (
    VISION_HEADS,
    below,
    count_layers,
    flat,
    native_tower,
    stated_dtype,
    text_part,
)
from valley.geometry import NativeResolution
from valley.prompt import ChatFormat
from valley.tiling import AnyResolution, SideBySide
from valley.types import Budget

TOKEN_AREA = 28 * 28  # pixels of the original that one token of the second tower covers

_SIGLIP = "model.vision_tower.vision_tower.vision_model."
_NATIVE = "model.qwen2vl_vision_tower."
_CONNECTOR = "model.mm_projector."
#: The sizes of Valley-Eagle-7B, used where a checkpoint's tensors cannot be looked at.
_SIGLIP_SO400M: Shapes = {
    "embeddings.patch_embedding.weight": (1152, 3, 14, 14),
    "encoder.layers.26.mlp.fc1.weight": (4304, 1152),
}
_QWEN2_VL: Shapes = {
    "patch_embed.proj.weight": (1280, 3, 2, 14, 14),
    "blocks.31.mlp.fc1.weight": (5120, 1280),
}


def to_native(published: Config, shapes: Shapes) -> Config:
    """Nested config from the flat published one; sizes it does not state come from `shapes`."""
    _check(published)
    text, tied = text_part(published, shapes, "qwen2")
    native = {
        "model_type": "valley2",
        "architectures": ["Valley2ForConditionalGeneration"],
        "text_config": text,
        "tie_word_embeddings": tied,
        "published": {key: value for key, value in published.items() if key != "auto_map"},
        "vision_config": _siglip(published, below(_SIGLIP, shapes) or _SIGLIP_SO400M),
        "native_config": native_tower(
            below(_NATIVE, shapes) or _QWEN2_VL, published["hidden_size"]
        ),
        "visual_vocab_size": published["mlp_hidden_dim"],
        "max_visual_tokens": published["max_vision_token"],
    }
    return native | stated_dtype(published)


def _check(published: Config) -> None:
    """Refuse, by name, what no released checkpoint uses."""
    wanted = {
        "mm_projector_type": "ovis_conv_adapter",
        "tokenize_function": "softmax",
        "grid_pinpoints": "(1x1),...,(3x3)",
        "num_patches_per_side": 14,
        "anyres": True,
    }
    for key, value in wanted.items():
        if published.get(key) != value:
            raise ValueError(
                f"config.json sets {key} to {published.get(key)!r}: "
                f"Valley2 checkpoints are loaded with {value!r} only"
            )
    if not published.get("eagle_vision_tower"):
        raise ValueError("config.json names no eagle_vision_tower: Valley2 needs both towers")
    if published.get("mm_use_im_start_end"):
        raise ValueError("mm_use_im_start_end is set in config.json: no Valley2 code path uses it")


def _siglip(published: Config, tower: Shapes) -> Config:
    width, channels, patch, _ = tower["embeddings.patch_embedding.weight"]
    depth = count_layers(tower, "encoder.layers.")
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": width,
        "intermediate_size": tower[f"encoder.layers.{depth - 1}.mlp.fc1.weight"][0],
        "num_hidden_layers": depth,
        "num_attention_heads": VISION_HEADS,
        "num_channels": channels,
        "patch_size": patch,
        "image_size": published["vit_crop_size"],
    }


def to_published(native: Config) -> Config:
    """The flat config.json again: what was published, brought up to date with the native values."""
    published = flat(native, _PUBLISHED_DEFAULTS)
    published["mlp_hidden_dim"] = native["visual_vocab_size"]
    published["max_vision_token"] = native["max_visual_tokens"]
    published["vit_crop_size"] = native["vision_config"]["image_size"]
    published["mm_hidden_size"] = native["vision_config"]["hidden_size"]
    return published


_PUBLISHED_DEFAULTS: Config = {
    "architectures": ["ValleyQwen2ForCausalLM"],
    "model_type": "valley",
    "llm_name": "qwen2",
    "anyres": True,
    "eagle_vision_tower": "Qwen/Qwen2-VL-7B-Instruct",
    "grid_pinpoints": "(1x1),...,(3x3)",
    "mm_projector_type": "ovis_conv_adapter",
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "cls_patch",
    "mm_vision_tower": "google/siglip-so400m-patch14-384",
    "num_patches_per_side": 14,
    "only_crop_single_image": True,
    "tokenize_function": "softmax",
    "use_special_start_end_token": True,
}

VALLEY2 = Family(
    name="valley2",
    title="Valley2",
    model_type="valley2",
    architecture="Valley2ForConditionalGeneration",
    layout=Layout(
        architectures=("ValleyQwen2ForCausalLM",),
        key_rules=(
            ("model.embed_tokens.", "model.language_model.embed_tokens."),
            ("model.layers.", "model.language_model.layers."),
            ("model.norm.", "model.language_model.norm."),
            (_SIGLIP, "model.vision_tower."),
            (_NATIVE, "model.native_tower."),
            (_CONNECTOR, "model.vision_connector."),
        ),
        to_native=to_native,
        to_published=to_published,
    ),
    policy=SideBySide(
        AnyResolution("vision"),
        NativeResolution("native", fetch_pixels=(4 * TOKEN_AREA, 16384 * TOKEN_AREA)),
    ),
    chat=ChatFormat(image_token="<|image_pad|>", image_open="<im_start>", image_close="<im_end>"),
    budget=Budget(
        min_pixels=4 * TOKEN_AREA,
        max_pixels=729 * TOKEN_AREA,
        frame_max_pixels=196 * TOKEN_AREA,
        max_frames=8,
    ),
    published_budget=Budget(min_pixels=4 * TOKEN_AREA, max_pixels=16384 * TOKEN_AREA, max_frames=8),
    budget_fields=frozenset(
        {
            *("min_pixels", "max_pixels", "frame_max_pixels", "max_tiles"),
            *("max_frames", "fps", "max_video_tokens"),
        }
    ),
    parts={
        "embeddings": ("model.language_model.embed_tokens.", "lm_head."),
        "decoder": ("model.language_model.",),
        "towers": ("model.vision_tower.", "model.native_tower."),
        "connector": ("model.vision_connector.",),
    },
    origins=(
        Origin("decoder", "Qwen2.5-7B-Instruct", "Apache-2.0"),
        Origin("towers", "SigLIP so400m-patch14-384; vision tower of Qwen2-VL-7B", "Apache-2.0"),
        Origin("connector", "Valley2", "Apache-2.0"),
    ),
)
