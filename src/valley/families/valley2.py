"""Valley2 and Valley2-DPO: SigLIP tiles through a visual vocabulary beside Qwen2-VL's own tower.

Source: the published remote code and config.json of Valley-Eagle-7B and Valley2-DPO. Sizes of the
towers stand nowhere in it: they are read from the checkpoint's tensors. The same code takes
variants: no second tower, a pixel-shuffle connector, untiled pictures.
"""

import math

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
from valley.prompt import ChatFormat
from valley.tiling import SideBySide, mixture
from valley.types import Budget

TOKEN_AREA = 28 * 28  # pixels of the original that one token of the second tower covers
#: Limits of the resize that comes before the request's own.
_FETCH_PIXELS = (4 * TOKEN_AREA, 16384 * TOKEN_AREA)

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
        **_vision(published, shapes),
    }
    return native | stated_dtype(published)


def _check(published: Config) -> None:
    """Refuse, by name, what no known checkpoint uses."""
    for key in ("mm_use_im_start_end", "only_navit", "navit_merger_hidden_dim"):
        if published.get(key):
            raise ValueError(f"config.json sets {key}: no Valley2 checkpoint uses it")
    if published.get("token_compressor_config"):
        raise ValueError("config.json sets token_compressor_config: no Valley2 checkpoint uses one")
    if published.get("anyres"):
        _only(published, "grid_pinpoints", "(1x1),...,(3x3)")


def _only(published: Config, key: str, *known: object) -> None:
    if published.get(key) not in known:
        raise ValueError(
            f"config.json sets {key} to {published.get(key)!r}: "
            f"Valley2 checkpoints are loaded with {' or '.join(map(repr, known))} only"
        )


def _vision(published: Config, shapes: Shapes) -> Config:
    """The towers in the order of their tokens, their configs, and how they are put together."""
    siglip = _siglip(published, below(_SIGLIP, shapes) or _SIGLIP_SO400M)
    patches = siglip["image_size"] // siglip["patch_size"]
    connector, map_side = _connector(published, below(_CONNECTOR, shapes), patches)
    two_towers = bool(published.get("eagle_vision_tower"))
    if two_towers:  # where the published code joins tiles, it is by this number
        _only(published, "num_patches_per_side", map_side)
    tiles = {
        "side": siglip["image_size"],
        "most": 3 if published.get("anyres") else 0,
        "map_side": map_side,
        "max_tokens": published.get("max_vision_token") if published.get("anyres") else None,
        "joined": two_towers,
    }
    towers = [{"name": "vision", "kind": "tiles", "view": tiles, "connector": connector}]
    vision: Config = {"fusion": "sequence", "towers": towers, "vision_config": siglip}
    if two_towers:
        tower = native_tower(below(_NATIVE, shapes) or _QWEN2_VL, published["hidden_size"])
        view = {"patch_size": tower["patch_size"], "fetch_pixels": list(_FETCH_PIXELS)}
        towers.append({"name": "native", "kind": "native", "view": view})
        vision["native_config"] = tower
    return vision


def _connector(published: Config, tensors: Shapes, patches: int) -> tuple[Config, int]:
    """A connector's record and the tokens on each side of its map of `patches` x `patches`."""
    _only(published, "mm_projector_type", "ovis_conv_adapter", "mlp_pixel_shuffle")
    if published["mm_projector_type"] == "ovis_conv_adapter":
        _only(published, "tokenize_function", "softmax")
        size = published["mlp_hidden_dim"]
        return {"kind": "visual_vocabulary", "vocab_size": size}, math.ceil(patches / 2)
    block = published["pixelshuffle_downsample_ratio"]
    if patches % block:
        raise ValueError(
            f"config.json sets pixelshuffle_downsample_ratio to {block}: "
            f"{patches} patches on a side cannot be divided by it"
        )
    width = published.get("mlp_hidden_dim") or published["hidden_size"]
    width = tensors.get("mlp.0.weight", (width,))[0]
    return {"kind": "pixel_shuffle", "block": block, "hidden_size": width}, patches // block


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
    names = [tower["name"] for tower in native["towers"]]
    if names not in (["vision"], ["vision", "native"]):
        raise ValueError(f"the published layout has no place for the towers {', '.join(names)}")
    tiles = native["towers"][0]
    width = tiles["connector"].get("vocab_size") or tiles["connector"]["hidden_size"]
    if published.get("mlp_hidden_dim") or width != published["hidden_size"]:
        published["mlp_hidden_dim"] = width
    if tiles["view"]["max_tokens"] is not None:
        published["max_vision_token"] = tiles["view"]["max_tokens"]
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
    "hidden_size": 3584,
    "max_vision_token": 100_000,
    "mlp_hidden_dim": 32000,
    "vit_crop_size": 384,
}


#: Towers of Valley-Eagle-7B.
RELEASED = _vision(_PUBLISHED_DEFAULTS, {})


def policy(native: Config) -> SideBySide:
    """How a checkpoint cuts pictures; without a config, as Valley-Eagle-7B does."""
    vision = native if "towers" in native else RELEASED
    return mixture(vision["towers"], vision["fusion"])


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
            (_SIGLIP, "model.branches.vision.tower."),
            (_NATIVE, "model.branches.native.tower."),
            (_CONNECTOR, "model.branches.vision.connector."),
        ),
        to_native=to_native,
        to_published=to_published,
    ),
    policy=policy,
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
        "connector": ("model.branches.vision.connector.",),
        "towers": ("model.branches.",),
    },
    origins=(
        Origin("decoder", "Qwen2.5-7B-Instruct", "Apache-2.0"),
        Origin("towers", "SigLIP so400m-patch14-384; vision tower of Qwen2-VL-7B", "Apache-2.0"),
        Origin("connector", "Valley2", "Apache-2.0"),
    ),
)
