"""The two ways of scoring, and the kinds of benchmark that both of them score."""

from __future__ import annotations

#: Names of scorers, as benchmarks refer to them.
KINDS = (
    "choice",
    "choice_circular",
    "mmmu",
    "yes_no",
    "mme",
    "pope",
    "hallusion",
    "vqa_soft",
    "anls",
    "relaxed",
    "ocrbench",
    "mathvista",
    "mathvision",
    "mathverse",
    "mmvet",
    "logicvista",
    "dynamath",
    "wemath",
    "crpe",
    "mvbench",
    "videomme",
    "tempcompass_mcq",
    "tempcompass_yes_no",
    "tempcompass_caption_matching",
    "tempcompass_captioning",
)
