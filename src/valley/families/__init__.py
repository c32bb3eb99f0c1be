"""The lines of models this package knows, and how a checkpoint names its own.

Dispatch is on `architectures`: `model_type` "valley" is shared by three generations,
"internvl_chat" by InternVL and SAIL-VL.
"""

from collections.abc import Mapping
from typing import Any

from valley.families.base import Family, Layout, Origin
from valley.families.internvl import INTERNVL
from valley.families.sail_vl import SAIL_VL, SAIL_VL2
from valley.families.valley2 import VALLEY2
from valley.families.valley2_5 import VALLEY2_5

FAMILIES: tuple[Family, ...] = (VALLEY2, VALLEY2_5, SAIL_VL, SAIL_VL2, INTERNVL)

#: Relatives of our lines by what their config.json says.
NOT_SUPPORTED = {
    "ValleyLlamaForCausalLM": "Valley (2023, on LLaMA)",
    "valley_omni": "Valley3",
}

__all__ = ["FAMILIES", "Family", "Layout", "Origin", "family_of", "is_published"]


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a checkpoint's config.json, published or native layout.

    Raises ValueError naming the architecture where no family takes it.
    """
    names = config.get("architectures") or []
    for family in FAMILIES:
        if family.architecture in names or set(names) & set(family.layout.architectures):
            return family
        if config.get("model_type") == family.model_type:
            return family
    for name in {*names, config.get("model_type")} & NOT_SUPPORTED.keys():
        raise ValueError(f"{name} is {NOT_SUPPORTED[name]}, which is not supported yet")
    known = ", ".join(name for f in FAMILIES for name in (*f.layout.architectures, f.architecture))
    asked = names[0] if names else f"model_type {config.get('model_type')!r}"
    raise ValueError(
        f"{asked} is not a model of this package (it loads {known}): "
        "load it with transformers' Auto classes and leave out `import valley.auto`"
    )


def is_published(config: Mapping[str, Any], family: Family) -> bool:
    """Whether a config.json is in the published layout of its family."""
    return config.get("model_type") != family.model_type
