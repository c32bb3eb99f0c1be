"""How every line of models is asked every benchmark: one file a line, as data.

`asking`, `placing`, `replies`: the few ways there are. `base`: what a set of prompts is.
"""

from __future__ import annotations

from valley.evaluate.prompts.base import PromptSet
from valley.evaluate.prompts.default import DEFAULT
from valley.evaluate.prompts.internvl import INTERNVL, INTERNVL_MPO
from valley.evaluate.prompts.sail_vl import SAIL_VL, SAIL_VL_THINKING
from valley.evaluate.prompts.valley2 import VALLEY2
from valley.evaluate.prompts.valley2_5 import VALLEY2_5, VALLEY2_5_DIRECT

__all__ = ["BY_FAMILY", "BY_MODEL", "DEFAULT", "PROMPTS", "PromptSet", "prompts_of"]

_SETS = (
    *(DEFAULT, VALLEY2, VALLEY2_5, VALLEY2_5_DIRECT),
    *(SAIL_VL, SAIL_VL_THINKING, INTERNVL, INTERNVL_MPO),
)
PROMPTS: dict[str, PromptSet] = {prompts.name: prompts for prompts in _SETS}
#: The set that a line was published with.
BY_FAMILY: dict[str, PromptSet] = {
    "valley2": VALLEY2,
    "valley2_5": VALLEY2_5,
    "sail_vl": SAIL_VL,
    "sail_vl2": SAIL_VL,
    "internvl": INTERNVL,
}
#: Models that are asked otherwise than their line.
BY_MODEL: dict[str, PromptSet] = {"nano": DEFAULT}


def prompts_of(name: str) -> PromptSet:
    """The set of a name. Raises ValueError for an unknown one."""
    if name not in PROMPTS:
        raise ValueError(f"there are no prompts {name!r}: there are {', '.join(PROMPTS)}")
    return PROMPTS[name]
