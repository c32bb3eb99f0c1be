"""Valley2.5: Qwen2-VL's vision tower at native resolution, a wide connector, a Qwen3 decoder.

Source: Valley2.5 technical report; prompts and limits from its README and its predecessor's
processor. The published config.json and tokenizer were not available when this was assembled:
sizes, token ids and tag spellings are read from the checkpoint.
"""

import math

from valley.families.base import Config, Family, Layout, Origin, Shapes
from valley.families.flat import below, flat, native_tower, stated_dtype, text_part
from valley.geometry import NativeResolution
from valley.prompt import ChatFormat
from valley.types import Budget

TOKEN_AREA = 28 * 28  # pixels of the original that one visual token covers

GTHINKER = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant "
    "solves it. The assistant first thinks about the reasoning process in the mind and then "
    "provides the user with the answer. The reasoning process and answer are enclosed within "
    "<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning process "
    "here </think><answer> answer here </answer>. In the reasoning process enclosed within "
    "<think> </think>, each specific visual cue is enclosed within <vcues_*>...</vcues_*>, where "
    "* indicates the index of the specific cue. Before concluding the final answer, pause for a "
    "quick consistency check: verify whether the visual cues support the reasoning and whether "
    "each step logically follows from what is seen. If correct, conclude the answer; otherwise, "
    "revise the visual cues and reasoning, then conclude."
)

#: Pixel limits that published code uses, by the name of where they come from.
PIXEL_PRESETS: dict[str, Budget] = {
    "readme_single": Budget(min_pixels=4 * TOKEN_AREA, max_pixels=16384 * TOKEN_AREA),
    "readme_multi_video": Budget(min_pixels=4 * TOKEN_AREA, max_pixels=256 * TOKEN_AREA),
    "vlmeval_default": Budget(min_pixels=1280 * TOKEN_AREA, max_pixels=16384 * TOKEN_AREA),
    "vlmeval_ocr_hallu_mmmu": Budget(min_pixels=100 * TOKEN_AREA, max_pixels=1280 * TOKEN_AREA),
}

_TOWER = "model.qwen2vl_vision_tower."
#: The sizes of the technical report, used where a checkpoint's tensors cannot be looked at.
_REPORTED_TOWER: Shapes = {
    "patch_embed.proj.weight": (1280, 3, 2, 14, 14),
    "blocks.31.mlp.fc1.weight": (5120, 1280),
    "merger.mlp.0.weight": (65536, 5120),
}


def to_native(published: Config, shapes: Shapes) -> Config:
    """Nested config from the flat published one; sizes it does not state come from `shapes`."""
    if published.get("mm_use_im_start_end"):
        raise ValueError(
            "mm_use_im_start_end is set in config.json: no Valley2.5 code path uses it"
        )
    text, tied = text_part(published, shapes, "qwen3")
    native = {
        "model_type": "valley2_5",
        "architectures": ["Valley2_5ForConditionalGeneration"],
        "text_config": text,
        "tie_word_embeddings": tied,
        "published": {key: value for key, value in published.items() if key != "auto_map"},
        **_vision(published, shapes),
    }
    return native | stated_dtype(published)


def _vision(published: Config, shapes: Shapes) -> Config:
    tower = below(_TOWER, shapes) or _REPORTED_TOWER
    connector_width, merged = tower["merger.mlp.0.weight"]
    vision = native_tower(tower, published["hidden_size"])
    vision["spatial_merge_size"] = math.isqrt(merged // vision["embed_dim"])
    return {"vision_config": vision, "connector_hidden_size": connector_width}


def to_published(native: Config) -> Config:
    """The flat config.json again: what was published, brought up to date with the native values."""
    published = flat(native, _PUBLISHED_DEFAULTS)
    published["navit_merger_hidden_dim"] = native["connector_hidden_size"]
    return published


_PUBLISHED_DEFAULTS: Config = {
    "architectures": ["ValleyQwen3ForCausalLM"],
    "model_type": "valley",
    "llm_name": "qwen3",
    "anyres": True,
    "eagle_vision_tower": "Qwen/Qwen2-VL-7B-Instruct",
    "mm_vision_tower": "google/siglip-so400m-patch14-384",
    "mm_use_im_start_end": False,
    "only_navit": True,
    "use_special_start_end_token": True,
}


def policy(native: Config) -> NativeResolution:
    """How pictures are cut; the patch size is that of every known checkpoint."""
    return NativeResolution("vision", fetch_pixels=(4 * TOKEN_AREA, 16384 * TOKEN_AREA))


VALLEY2_5 = Family(
    name="valley2_5",
    title="Valley2.5",
    model_type="valley2_5",
    architecture="Valley2_5ForConditionalGeneration",
    layout=Layout(
        architectures=("ValleyQwen3ForCausalLM",),
        key_rules=(
            ("model.embed_tokens.", "model.language_model.embed_tokens."),
            ("model.layers.", "model.language_model.layers."),
            ("model.norm.", "model.language_model.norm."),
            ("model.qwen2vl_vision_tower.merger.", "model.vision_connector."),
            ("model.qwen2vl_vision_tower.", "model.vision_tower."),
        ),
        to_native=to_native,
        to_published=to_published,
        stray=("model.vision_tower.vision_tower.", "model.mm_projector."),
    ),
    policy=policy,
    chat=ChatFormat(image_token="<|image_pad|>", image_open="<im_start>", image_close="<im_end>"),
    budget=Budget(
        min_pixels=4 * TOKEN_AREA,
        max_pixels=1280 * TOKEN_AREA,
        frame_max_pixels=256 * TOKEN_AREA,
        max_frames=8,
    ),
    published_budget=Budget(min_pixels=4 * TOKEN_AREA, max_pixels=16384 * TOKEN_AREA, max_frames=8),
    budget_fields=frozenset(
        {"min_pixels", "max_pixels", "frame_max_pixels", "max_frames", "fps", "max_video_tokens"}
    ),
    parts={
        "embeddings": ("model.language_model.embed_tokens.", "lm_head."),
        "decoder": ("model.language_model.",),
        "tower": ("model.vision_tower.",),
        "connector": ("model.vision_connector.",),
    },
    origins=(
        Origin("decoder", "Qwen3-8B-Base", "Apache-2.0"),
        Origin("tower", "vision tower of Qwen2-VL-7B-Instruct", "Apache-2.0"),
        Origin("connector", "Valley2.5", "Apache-2.0"),
    ),
    system_prompts={"gthinker": GTHINKER},
)
