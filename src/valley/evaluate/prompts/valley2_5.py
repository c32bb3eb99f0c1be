"""How Valley2.5 was asked for its published scores, thinking as GThinker does, and without.

Source: its adapter in VLMEvalKit (e8e78f0, Apache-2.0), where it is called Valley3Chat. Slips in
the wording are part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from valley.evaluate.prompts.asking import (
    bare,
    by_cell,
    by_first_line,
    dotted,
    ended,
    lettered,
    without,
)
from valley.evaluate.prompts.base import PromptSet, divided
from valley.evaluate.prompts.default import CLIP_SYSTEMS, CLIPS
from valley.evaluate.prompts.placing import first, spaced
from valley.evaluate.prompts.replies import Read, answer, ended_with, short, whole
from valley.evaluate.prompts.valley2 import (
    IN_SHORT,
    LARGE,
    MATHEMATICS,
    READ_TEXT,
    SMALL,
    SOLVED,
    STEP_BY_STEP,
)
from valley.families.valley2_5 import GTHINKER
from valley.types import Sampling

_LETTER = (
    "\nAnswer the multiple-choice question. The answer enclosed by <answer> </answer> should be "
    "'$LETTER' (without quotes) where LETTER is one of the options."
)
_THIS = "\nAnswer this question and the answer enclosed by <answer> </answer> should be "
_VISION_CHOICE = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at "
    "the end."
)
_VISION_WORDS = "Hint: Please answer the question and provide the final answer at the end."
_STEPS = ended("\nProvide a step-by-step solution to the problem carefully." + STEP_BY_STEP)
#: The handwritten formulas of OCRBench are not to be solved.
_COPIED = ended(
    "\nAnswer this question withou solving the math problem and the answer enclosed by <answer> "
    "</answer> should be the OCR result without missing any character."
)
_READS: Mapping[str, Read] = MappingProxyType(
    {
        # The judge of MMVet reads this sentence as part of the reply.
        "MMVet": ended_with("(Please only output the final score.)"),
        "OCRBench": whole,
        **dict.fromkeys(READ_TEXT, short(answer)),
        "": answer,
    }
)
_OTHER_TAGS = GTHINKER.replace("<think>", "<reason>").replace("</think>", "</reason>")

VALLEY2_5 = PromptSet(
    name="valley2_5",
    version="1",
    source="Valley3Chat of VLMEvalKit, thinking",
    asks={
        **CLIPS,
        "choice": lettered(_LETTER + " "),
        "yes_no": ended(_THIS + "a single word or phrase."),
        "MathVista": by_cell(
            "question_type",
            {
                "multi_choice": ended(_LETTER),
                "free_form": ended(_THIS + "single word or phrase as indicated by the hint."),
            },
        ),
        "MathVision": by_first_line(
            {
                _VISION_CHOICE: dotted(without(_VISION_CHOICE, ended(_LETTER))),
                _VISION_WORDS: without(_VISION_WORDS, ended(_THIS + "single word or phrase.")),
            }
        ),
        "MMVet": _STEPS,
        "OCRBench": by_cell(
            "category",
            {"Handwritten Mathematical Expression Recognition": _COPIED},
            ended(_THIS + "the OCR result without missing any character."),
        ),
        "": bare,
    },
    sampling=Sampling(max_new_tokens=2048),
    thinking=True,
    systems={
        **CLIP_SYSTEMS,
        **dict.fromkeys(("MMStar", "MathVista", "HallusionBench"), _OTHER_TAGS),
        "": GTHINKER,
    },
    places={"": spaced(first)},
    budgets={**dict.fromkeys(("OCRBench", "HallusionBench", "MMMU"), SMALL), "": LARGE},
    share=divided,
    reads=_READS,
)

VALLEY2_5_DIRECT = replace(
    VALLEY2_5,
    name="valley2_5_direct",
    source="Valley3Chat of VLMEvalKit, not thinking",
    asks={
        **CLIPS,
        "choice": lettered("\nAnswer with the option's letter from the given choices directly."),
        "yes_no": ended("\nAnswer the question using a single word or phrase."),
        "MMVet": _STEPS,
        "OCRBench": ended(STEP_BY_STEP),
        **dict.fromkeys(READ_TEXT, IN_SHORT),
        **dict.fromkeys(MATHEMATICS, SOLVED),
        "": bare,
    },
    thinking=False,
    systems={**CLIP_SYSTEMS, "": "You are a helpful assistant."},
)
