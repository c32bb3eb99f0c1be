"""InternVL2, 2.5, 3 and 3.5 with Qwen2, Qwen2.5 or Qwen3 decoders, in OpenGVLab's own layout.

Source: the public InternVL repository. Its checkpoints in transformers' layout (`-hf`) are loaded
by transformers itself.
"""

from functools import partial

from valley.families import nested
from valley.families.base import Family, Layout, Origin
from valley.types import Budget

HERMES_2 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, "
    "是一个有用无害的人工智能助手。"
)
INTERNVL2_5 = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的"
    "多模态大语言模型。"
)

INTERNVL = Family(
    name="internvl",
    title="InternVL",
    model_type="valley_internvl",
    architecture="ValleyInternVLForConditionalGeneration",
    layout=Layout(
        architectures=("InternVLChatModel",),
        key_rules=nested.KEY_RULES,
        to_native=partial(
            nested.to_native, "valley_internvl", "ValleyInternVLForConditionalGeneration"
        ),
        to_published=partial(nested.to_published, "InternVLChatModel", "internvl_chat"),
        fused=nested.FUSED,
        flattened=nested.FLATTENED,
    ),
    policy=nested.policy,
    chat=nested.CHAT,
    chat_templates={
        "Hermes-2": nested.chat_template(HERMES_2),
        "internvl2_5": nested.chat_template(INTERNVL2_5, "\\n"),
    },
    entry="chat",
    budget=Budget(max_tiles=12, max_frames=8),
    published_budget=Budget(max_tiles=12, max_frames=8),
    budget_fields=nested.BUDGET_FIELDS,
    parts=nested.PARTS,
    origins=(
        Origin("decoder", "Qwen2, Qwen2.5 or Qwen3", "of the checkpoint"),
        nested.INTERNVIT_ORIGIN,
        Origin("connector", "InternVL", "MIT"),
    ),
)
