"""What the published Valley lines share: one flat config.json that leaves sizes to the tensors."""

from __future__ import annotations

from valley.families.base import Config, Shapes

#: Sizes that the published code writes down and no tensor shows.
VISION_HEADS = 16
#: Keys of the flat published config.json that belong to the decoder.
TEXT_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "use_cache",
    "rope_theta",
    "rope_scaling",
    "attention_bias",
    "attention_dropout",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


def text_part(published: Config, shapes: Shapes, model_type: str) -> tuple[Config, bool]:
    """The decoder's config, and whether its language head is tied: when the tensors hold none."""
    text = {key: published[key] for key in TEXT_KEYS if key in published}
    text.setdefault("rope_theta", 1e6)
    tied = bool(published.get("tie_word_embeddings"))
    if "model.embed_tokens.weight" in shapes:
        text["vocab_size"] = shapes["model.embed_tokens.weight"][0]
        tied = "lm_head.weight" not in shapes
    return {"model_type": model_type, "tie_word_embeddings": tied, **text}, tied


def native_tower(tower: Shapes, out_size: int) -> Config:
    """The config of a Qwen2-VL tower from its tensors, named below its own prefix."""
    embed, channels, temporal, patch, _ = tower["patch_embed.proj.weight"]
    depth = count_layers(tower, "blocks.")
    return {
        "model_type": "qwen2_vl_vision",
        "depth": depth,
        "embed_dim": embed,
        "num_heads": VISION_HEADS,
        "in_channels": channels,
        "patch_size": patch,
        "temporal_patch_size": temporal,
        "mlp_ratio": tower[f"blocks.{depth - 1}.mlp.fc1.weight"][0] // embed,
        "hidden_size": out_size,
    }


def below(prefix: str, shapes: Shapes) -> Shapes:
    """The tensors under a prefix, named without it."""
    return {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }


def count_layers(shapes: Shapes, prefix: str) -> int:
    """How many numbered layers stand under a prefix."""
    place = prefix.count(".")
    return 1 + max(int(name.split(".")[place]) for name in shapes if name.startswith(prefix))


def stated_dtype(published: Config) -> Config:
    dtypes = [published[key] for key in ("torch_dtype", "dtype") if key in published]
    return {"dtype": dtypes[0]} if dtypes else {}


def flat(native: Config, defaults: Config) -> Config:
    """The flat config.json again: what was published, brought up to date with native values."""
    text = dict(native["text_config"])
    rope = text.pop("rope_parameters", None) or {}
    text.setdefault("rope_theta", rope.get("rope_theta", 1e6))
    published = dict(native.get("published") or defaults)
    published.update({key: text[key] for key in TEXT_KEYS if key in text and text[key] is not None})
    published["tie_word_embeddings"] = native["tie_word_embeddings"]
    if native.get("dtype"):
        published["torch_dtype"] = native["dtype"]
    return published
