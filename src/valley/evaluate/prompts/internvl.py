"""How InternVL is asked, and its models of mixed preference optimisation.

Source: their adapter in VLMEvalKit (e8e78f0, Apache-2.0).
"""

from __future__ import annotations

from dataclasses import replace

from valley.evaluate.items import Item
from valley.evaluate.prompts.asking import Ask, bare, without
from valley.evaluate.prompts.base import PromptSet
from valley.evaluate.prompts.default import CLIP_SYSTEMS, CLIPS
from valley.evaluate.prompts.replies import final, whole
from valley.evaluate.prompts.sail_vl import ASKS, share_tiles
from valley.types import Budget, Sampling

_MORE = ("ChartQA_TEST", "MMMU_DEV_VAL")
_LARGE = ("InfoVQA", "OCRBench")
_REASONED = (
    "Your task is to answer the question below. Give step by step reasoning before you answer, and "
    'when you\'re ready to answer, please use the format "Final answer: .."\n\nQuestion:\n\n'
)


def _reasoned(item: Item) -> str:
    lines = [item.question, *(f"{letter}. {text}" for letter, text in item.options.items())]
    return (_REASONED + "\n".join(lines)).strip()


def _mathematics(item: Item) -> str:
    """A question of MathVerse or MathVision, without what it says about itself."""
    question = item.question.split("Question:", 1)[-1].strip().replace("Choices:\n", "")
    return _reasoned(Item(item.id, {**item.cells, "question": question.strip()}))


INTERNVL = PromptSet(
    name="internvl",
    version="1",
    source="InternVL's adapter in VLMEvalKit",
    asks={
        **ASKS,
        "MathVerse": without("please directly answer the question and", bare, "please"),
        **dict.fromkeys(("WeMath", "LogicVista"), bare),
    },
    systems={**CLIP_SYSTEMS, "": ""},
    budgets={
        **dict.fromkeys(_MORE, Budget(max_tiles=12)),
        "DocVQA": Budget(max_tiles=18),
        **dict.fromkeys(_LARGE, Budget(max_tiles=24)),
        "": Budget(max_tiles=6),
    },
    clips=Budget(max_tiles=1),
    share=share_tiles,
    enlarged={"MMMU": 2, "": 1},
    reads={"": whole},
    sampling=Sampling(max_new_tokens=4096),
)

_ASKED: dict[str, Ask] = {key: _reasoned for key in INTERNVL.asks if key not in CLIPS}
INTERNVL_MPO = replace(
    INTERNVL,
    name="internvl_mpo",
    source="InternVL's adapter in VLMEvalKit, reasoning",
    asks={
        **CLIPS,
        **_ASKED,
        **dict.fromkeys(("MathVerse", "MathVision"), _mathematics),
        "MMVet": bare,
    },
    reads={**dict.fromkeys(("choice", "yes_no", "CRPE"), final), "": whole},
)
