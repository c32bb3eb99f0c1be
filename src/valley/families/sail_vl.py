"""SAIL-VL (2B, 8B, 1.5-2B, 1.5-8B, 1.6-8B) and SAIL-VL2 (dense): tiles through one tower.

Source: the published remote code and config.json of SAIL-VL-1.6-8B and SAIL-VL2-2B; the model
card; for the budgets of benchmarks the team's adapter in VLMEvalKit.
"""

from functools import partial

from valley.families import nested
from valley.families.base import Family, Layout, Origin
from valley.types import Budget

#: The published system prompt, used where none is given, text-only questions included.
SYSTEM = "你是由抖音内容理解组开发的多模态大模型，英文名叫UniVL, 是一个有用无害的人工智能助手。"

_MORE = ("ChartQA_TEST", "MMMU_DEV_VAL", "MMMU_TEST", "MME-RealWorld", "VCR", "OCRVQA")
_PAGES = ("DocVQA", "DUDE", "MMLongBench_DOC", "SLIDEVQA")
_LARGE = ("InfoVQA", "OCRBench", "HRBench4K", "HRBench8K")
#: Budgets that the model card, config.json and the team's evaluation use, by the name of where.
TILE_PRESETS: dict[str, Budget] = {
    "card": Budget(max_tiles=10),
    "config": Budget(max_tiles=12),
    "msac": Budget(max_tiles=10, scales=2),
    "video": Budget(max_tiles=1),
    **dict.fromkeys(_MORE, Budget(max_tiles=12, scales=2)),
    **dict.fromkeys(_PAGES, Budget(max_tiles=18, scales=2)),
    **dict.fromkeys(_LARGE, Budget(max_tiles=24, scales=2)),
}

APPLE = "Apple ASCL, weights since moved to AMLR (research): see docs/licences.md"

SAIL_VL = Family(
    name="sail_vl",
    title="SAIL-VL",
    model_type="sail_vl",
    architecture="SailVLForConditionalGeneration",
    layout=Layout(
        architectures=("SailVLModel",),
        key_rules=nested.KEY_RULES,
        to_native=partial(nested.to_native, "sail_vl", "SailVLForConditionalGeneration"),
        to_published=partial(nested.to_published, "SailVLModel", "internvl_chat"),
        fused=nested.FUSED,
        flattened=nested.FLATTENED,
    ),
    policy=nested.policy,
    chat=nested.CHAT,
    chat_templates={"sailvl-chat": nested.chat_template(SYSTEM)},
    entry="chat",
    budget=nested.CARD,
    published_budget=nested.CARD,
    budget_fields=nested.BUDGET_FIELDS,
    parts=nested.PARTS,
    origins=(
        Origin("decoder", "Qwen2.5-Instruct", "Apache-2.0"),
        Origin("tower", "AIMv2-Huge-448, trained further", APPLE, tower=nested.AIMV2.native),
        nested.INTERNVIT_ORIGIN,
        Origin("connector", "SAIL-VL", "Apache-2.0"),
    ),
)

SAIL_VL2 = Family(
    name="sail_vl2",
    title="SAIL-VL2",
    model_type="sail_vl2",
    architecture="SailVL2ForConditionalGeneration",
    layout=Layout(
        architectures=("SAILVLModel",),
        key_rules=nested.KEY_RULES,
        to_native=partial(nested.to_native, "sail_vl2", "SailVL2ForConditionalGeneration"),
        to_published=partial(nested.to_published, "SAILVLModel", "sailvl"),
        fused=nested.FUSED,
        flattened=nested.FLATTENED,
    ),
    policy=nested.policy,
    chat=nested.CHAT,
    chat_templates={"univl-chat": nested.chat_template(SYSTEM)},
    entry="chat",
    budget=nested.CARD,
    published_budget=nested.CARD,
    budget_fields=nested.BUDGET_FIELDS,
    parts=nested.PARTS,
    origins=(
        Origin("decoder", "Qwen3", "Apache-2.0"),
        Origin("tower", "SAILViT-Huge, from AIMv2-Huge", APPLE, tower=nested.AIMV2.native),
        Origin("connector", "SAIL-VL2", "Apache-2.0"),
    ),
)
