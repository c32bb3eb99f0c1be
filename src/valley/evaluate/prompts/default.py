"""How VLMEvalKit asks a model that has no wishes of its own; also the clips of all lines.

Source: the dataset classes of VLMEvalKit (e8e78f0, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from valley.evaluate.prompts.asking import Ask, bare, candidates, ended, titled
from valley.evaluate.prompts.base import PromptSet
from valley.evaluate.prompts.placing import Place, at_markers, first
from valley.types import Sampling

SHORT = ended("\nAnswer the question using a single word or phrase.")
_WATCH_CLOSELY = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail "
    "and movement of objects, and the action and pose of persons. Based on your observations, "
    "select the best option that accurately addresses the question.\n"
)
_FRAMES = (
    "\nThese are the frames of a video. Select the best answer to the following multiple-choice "
    "question based on the video. Respond with only the letter (A, B, C, or D) of the correct "
    "option.\n"
)
#: The questions about clips, which no line asks otherwise.
CLIPS: Mapping[str, Ask] = MappingProxyType(
    {
        "mvbench": candidates(
            "Question: {question}\nOptions:\n{options}\nOnly give the best option.",
            "({letter}) {text}",
        ),
        "videomme": candidates(_FRAMES + "Question: {question}\n{options}\nAnswer: ", "{text}"),
        "tempcompass_mcq": ended("\nPlease directly give the best option:"),
        "tempcompass_caption_matching": ended("\nPlease directly give the best option:"),
        "tempcompass_yes_no": ended("\nPlease answer yes or no:"),
        "tempcompass_captioning": bare,
    }
)
CLIP_SYSTEMS: Mapping[str, str] = MappingProxyType({"mvbench": _WATCH_CLOSELY})
ASKS: Mapping[str, Ask] = MappingProxyType(
    {
        **CLIPS,
        "choice": titled,
        "DocVQA": SHORT,
        "InfoVQA": SHORT,
        "ChartQA": SHORT,
        "TextVQA": SHORT,
        "": bare,
    }
)
PLACES: Mapping[str, Place] = MappingProxyType({"mmmu": at_markers, "": first})

DEFAULT = PromptSet(
    name="default",
    version="1",
    source="VLMEvalKit's dataset classes",
    asks=ASKS,
    systems={**CLIP_SYSTEMS, "": ""},
    places=PLACES,
    sampling=Sampling(max_new_tokens=512),
)
