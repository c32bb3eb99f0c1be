"""Published configs of the SAIL-VL lines and of InternVL, made of the golden sets' own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from golden import folders

KEYS = folders.read(folders.DATA / "sailvl_keys.json")
QWEN2_5_1B = {
    "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12,
    "num_key_value_heads": 2, "intermediate_size": 8960, "vocab_size": 151936,
}  # fmt: skip
QWEN2_5_7B = {
    "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064,
}  # fmt: skip
QWEN3_1B = {
    "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 6144, "vocab_size": 151936,
}  # fmt: skip
AIMV2_HUGE = {
    "hidden_size": 1536, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 12,
}  # fmt: skip
INTERNVIT_300M = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16,
}  # fmt: skip
Shapes = dict[str, tuple[int, ...]]


def published(name: str, vision: Mapping[str, Any], llm: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a golden set with other sizes."""
    config = copy.deepcopy(folders.read(folders.SAIL / f"{name}.json")["config"])
    config["vision_config"].update(vision)
    config["llm_config"].update(llm)
    return config


def table(patterns: Mapping[str, list[int]], layers: int) -> Shapes:
    """The tensors that patterns with `{i}` for a layer stand for."""
    return {
        name.replace("{i}", str(number)): tuple(shape)
        for name, shape in patterns.items()
        for number in (range(layers) if "{i}" in name else [0])
    }


def decoder_table(llm: Mapping[str, int], kind: str = "qwen2") -> Shapes:
    """Published names and shapes of a Qwen decoder with a head of its own."""
    width, hidden = llm["hidden_size"], llm["intermediate_size"]
    head = llm.get("head_dim", width // llm["num_attention_heads"])
    queries, keys = llm["num_attention_heads"] * head, llm["num_key_value_heads"] * head
    rows = {"q": queries, "k": keys, "v": keys}
    layer: Shapes = {
        **{f"self_attn.{name}_proj.weight": (count, width) for name, count in rows.items()},
        "self_attn.o_proj.weight": (width, queries),
        "mlp.gate_proj.weight": (hidden, width),
        "mlp.up_proj.weight": (hidden, width),
        "mlp.down_proj.weight": (width, hidden),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    if kind == "qwen2":
        layer |= {f"self_attn.{name}_proj.bias": (count,) for name, count in rows.items()}
    else:
        layer |= {f"self_attn.{name}_norm.weight": (head,) for name in "qk"}
    prefix = "language_model.model."
    return {
        prefix + "embed_tokens.weight": (llm["vocab_size"], width),
        **{
            f"{prefix}layers.{number}.{name}": shape
            for number in range(llm["num_hidden_layers"])
            for name, shape in layer.items()
        },
        prefix + "norm.weight": (width,),
        "language_model.lm_head.weight": (llm["vocab_size"], width),
    }


def connector_table(merged: int, width: int) -> Shapes:
    return {
        **{f"mlp1.0.{name}": (merged,) for name in ("weight", "bias")},
        **{"mlp1.1.weight": (width, merged), "mlp1.1.bias": (width,)},
        **{"mlp1.3.weight": (width, width), "mlp1.3.bias": (width,)},
    }
