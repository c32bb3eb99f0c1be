"""How SAIL-VL and SAIL-VL2 were asked for their published scores.

Source: their adapter in VLMEvalKit (e8e78f0, Apache-2.0) and the model card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from valley.evaluate.prompts.asking import Ask, bare, ended, lettered
from valley.evaluate.prompts.base import PromptSet
from valley.evaluate.prompts.default import CLIP_SYSTEMS, CLIPS, SHORT
from valley.evaluate.prompts.replies import box, in_turn, whole, without_stop
from valley.families.sail_vl import TILE_PRESETS
from valley.types import Budget, Sampling

#: Tiles of all pictures of an item together.
MAX_TILES = 64
OPTIONS = lettered(
    "\nAnswer with the option's letter from the given choices directly.",
    "\nAnswer the question directly.",
    ("\n请直接回答选项字母。", "\n请直接回答问题。"),
)
#: What both lines of tiled models say.
ASKS: Mapping[str, Ask] = MappingProxyType(
    {
        **CLIPS,
        "choice": OPTIONS,
        "MME": ended(" Answer the question using a single word or phrase."),
        "HallusionBench": ended(
            " Please answer yes or no. Answer the question using a single word or phrase."
        ),
        "POPE": bare,
        **dict.fromkeys(
            ("MathVista", "MathVision", "MathVerse", "MMVet", "CRPE", "DynaMath"), bare
        ),
        "": SHORT,
    }
)


def share_tiles(budget: Budget, number: int) -> Budget:
    """Fewer tiles a picture, and at one scale."""
    tiles = min(budget.max_tiles or MAX_TILES, MAX_TILES // number)
    return replace(budget, max_tiles=max(1, tiles), scales=None)


SAIL_VL = PromptSet(
    name="sail_vl",
    version="1",
    source="SAIL-VL's adapter in VLMEvalKit, tiles at two scales",
    asks=ASKS,
    systems={**CLIP_SYSTEMS, "": ""},
    budgets={
        **{name: budget for name, budget in TILE_PRESETS.items() if name[0].isupper()},
        "": TILE_PRESETS["msac"],
    },
    clips=TILE_PRESETS["video"],
    share=share_tiles,
    enlarged={"MMMU": 2, "": 1},
    reads={"ChartQA": without_stop, "": whole},
    sampling=Sampling(max_new_tokens=1024),
)

#: The adapter also tells these models how to think, in words that were not to be had: they are
#: asked as the others are, and their answer is taken out of its box.
SAIL_VL_THINKING = replace(
    SAIL_VL,
    name="sail_vl_thinking",
    source="SAIL-VL's adapter in VLMEvalKit, without its words about thinking",
    reads={"ChartQA": in_turn(box, without_stop), "": box},
    sampling=Sampling(max_new_tokens=4096),
)
