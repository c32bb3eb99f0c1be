"""The two ways of scoring. Every result says which of them it was.

`vlmevalkit` gives the scores of VLMEvalKit at one revision, its mistakes among them. `strict` is
ours: replies are read as people would, and what cannot be read is unresolved.
"""

from __future__ import annotations

from valley.evaluate import roundtrip
from valley.evaluate.items import Profile
from valley.evaluate.products import scoring as products
from valley.evaluate.scorers import (
    choice,
    crpe,
    dynamath,
    judged,
    mathematics,
    ocr,
    reading,
    video,
    vqa,
    wemath,
    yes_no,
)

VLMEVALKIT = Profile(
    name="vlmevalkit",
    version="e8e78f0",
    prepare=roundtrip.spreadsheet,
    read=roundtrip.table,
    scorers={
        "choice": choice.Choice(choice.can_infer),
        "choice_circular": choice.Circular(choice.can_infer),
        "mmmu": choice.Mmmu(choice.can_infer),
        "mme_realworld": video.VideoMme(choice.can_infer, first=video.first_mme_realworld),
        "yes_no": yes_no.YesNo(yes_no.extraction),
        "mme": yes_no.Mme(yes_no.extraction),
        "pope": yes_no.Pope(yes_no.extraction),
        "hallusion": yes_no.Hallusion(yes_no.extraction),
        "vqa_soft": vqa.Vqa(vqa.soft, vqa.mean),
        "vqa_exact": vqa.Vqa(vqa.exact, vqa.best),
        "anls": vqa.Vqa(vqa.distances, vqa.similarity),
        "relaxed": vqa.Vqa(vqa.relaxed, vqa.best),
        "ocrbench": ocr.OcrBench(ocr.holds),
        "mathvista": mathematics.MathVista(
            mathematics.mathvista_first, mathematics.mathvista_then, "mathvista"
        ),
        "mathvision": mathematics.MathVision(
            mathematics.mathvision_first, mathematics.mathvision_then, "mathvision"
        ),
        "mathverse": mathematics.MathVerse(mathematics.same_text),
        "mmvet": judged.MMVet(doubled=True),
        "logicvista": judged.LogicVista(),
        "dynamath": dynamath.DynaMath(dynamath.published),
        "wemath": wemath.WeMath(choice.can_infer, "choice_wemath", of=wemath.PROBLEMS, alone=True),
        "crpe": crpe.Crpe(crpe.published),
        "mvbench": video.MvBench(
            choice.can_infer, rule=video.check_answer, rounded=True, failed=1.0
        ),
        "videomme": video.VideoMme(choice.can_infer, first=video.first_video_mme, decimals=3),
        "tempcompass_mcq": video.TempCompass(
            video.multi_choice, "tempcompass_choice", video.caption_matching, rounded=True
        ),
        "tempcompass_yes_no": video.TempCompass(
            video.starts_yes_no, "tempcompass_yes_no", rounded=True
        ),
        "tempcompass_caption_matching": video.TempCompass(
            video.caption_matching, "tempcompass_caption_matching", rounded=True
        ),
        "tempcompass_captioning": video.Captioning(
            video.undecided, "tempcompass_captioning", rounded=True
        ),
        **products.SCORERS,
    },
)

STRICT = Profile(
    name="strict",
    version="1",
    prepare=list,
    read=list,
    scorers={
        "choice": choice.Choice(choice.read_letter),
        "choice_circular": choice.Circular(choice.read_letter),
        "mmmu": choice.Mmmu(choice.read_letter, says=reading.says),
        "mme_realworld": video.VideoMme(choice.read_letter),
        "yes_no": yes_no.YesNo(yes_no.read_yes_no),
        "mme": yes_no.Mme(yes_no.read_yes_no),
        "pope": yes_no.Pope(yes_no.read_yes_no),
        "hallusion": yes_no.Hallusion(yes_no.read_yes_no),
        "vqa_soft": vqa.Vqa(vqa.strict_soft, vqa.mean),
        "vqa_exact": vqa.Vqa(vqa.strict_exact, vqa.best),
        "anls": vqa.Vqa(vqa.strict_distances, vqa.similarity),
        "relaxed": vqa.YearsExact(vqa.strict_relaxed, vqa.best),
        "ocrbench": ocr.OcrBench(ocr.strict_holds),
        "mathvista": mathematics.MathVista(
            mathematics.strict_mathvista, mathematics.strict_mathvista, "mathvista"
        ),
        "mathvision": mathematics.MathVision(
            mathematics.strict_mathvision, mathematics.strict_mathvision, "mathvision"
        ),
        "mathverse": mathematics.MathVerse(mathematics.strict_mathverse),
        "mmvet": judged.MMVet(),
        "logicvista": judged.LogicVista(judged.several_letters),
        "dynamath": dynamath.DynaMath(dynamath.strict),
        "wemath": wemath.WeMath(choice.read_letter, "choice_wemath"),
        "crpe": crpe.Crpe(crpe.strict),
        "mvbench": video.MvBench(choice.read_letter),
        "videomme": video.VideoMme(choice.read_letter),
        "tempcompass_mcq": video.TempCompass(
            video.strict_multi_choice, "tempcompass_choice", video.strict_caption_matching
        ),
        "tempcompass_yes_no": video.TempCompass(video.strict_yes_no, "tempcompass_yes_no"),
        "tempcompass_caption_matching": video.TempCompass(
            video.strict_caption_matching, "tempcompass_caption_matching"
        ),
        "tempcompass_captioning": video.Captioning(video.undecided, "tempcompass_captioning"),
        **products.SCORERS,
    },
)

PROFILES = {profile.name: profile for profile in (STRICT, VLMEVALKIT)}
#: Names of scorers, as benchmarks refer to them. Both profiles have all of them.
KINDS = tuple(STRICT.scorers)


def profile(name: str) -> Profile:
    """A profile by its name. Raises ValueError where there is none."""
    if name not in PROFILES:
        raise ValueError(f"no profile {name!r}: use one of {', '.join(PROFILES)}")
    return PROFILES[name]
