"""How Valley2 and Valley2-DPO were asked for their published scores.

Source: their adapter in VLMEvalKit (e8e78f0, Apache-2.0). That adapter goes on cutting replies at
`<CONCLUSION>` once it has seen a set that it does so for; here each set is read for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from valley.evaluate.items import Item
from valley.evaluate.prompts.asking import Ask, ended
from valley.evaluate.prompts.base import PromptSet
from valley.evaluate.prompts.default import ASKS, CLIP_SYSTEMS, PLACES
from valley.evaluate.prompts.placing import spaced
from valley.evaluate.prompts.replies import conclusion, short, whole
from valley.families.valley2_5 import PIXEL_PRESETS
from valley.types import Sampling

READ_TEXT = ("TextVQA", "ChartQA", "InfoVQA", "DocVQA")
MATHEMATICS = ("MathVista", "MathVerse", "MathVision")
IN_SHORT = ended("\nPlease try to answer the question with short words or phrases if possible.")
SOLVED = ended(
    "\nProvide a step-by-step solution to the problem, and conclude with 'the answer is' followed "
    "by the final solution."
)
CAREFULLY = ended("\nProvide a step-by-step solution to the problem carefully.")
#: What the adapter adds to the words at the very end.
STEP_BY_STEP = "\nPlease think step by step."
SMALL = PIXEL_PRESETS["vlmeval_ocr_hallu_mmmu"]
LARGE = PIXEL_PRESETS["vlmeval_default"]


def _stepwise(ask: Ask) -> Ask:
    def ask_so(item: Item) -> str:
        return ask(item) + STEP_BY_STEP

    return ask_so


#: The words before `STEP_BY_STEP` is added.
OWN: Mapping[str, Ask] = MappingProxyType(
    {
        **ASKS,
        **dict.fromkeys(READ_TEXT, IN_SHORT),
        **dict.fromkeys(MATHEMATICS, SOLVED),
        "MMVet": CAREFULLY,
    }
)

VALLEY2 = PromptSet(
    name="valley2",
    version="1",
    source="Valley2's adapter in VLMEvalKit",
    asks={
        **OWN,
        "MMMU_DEV_VAL": _stepwise(OWN["choice"]),
        "MMStar": _stepwise(OWN["choice"]),
        "OCRBench": _stepwise(OWN[""]),
        "MMVet": _stepwise(OWN["MMVet"]),
    },
    # The published processor's own, where it is given none.
    systems={**CLIP_SYSTEMS, "": "You are a helpful assistant."},
    places={key: spaced(place) for key, place in PLACES.items()},
    budgets={**dict.fromkeys(("OCRBench", "HallusionBench", "MMMU", "MMBench"), SMALL), "": LARGE},
    reads={**dict.fromkeys(READ_TEXT, short(conclusion)), "": whole},
    sampling=Sampling(max_new_tokens=2048),
)
