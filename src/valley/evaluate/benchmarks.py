"""The benchmarks as data: names, files, checksums, kinds, columns. Standard library only.

Source: the dataset classes of VLMEvalKit (e8e78f0); names are those its users know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal, TypeAlias

#: What a question expects: a letter, yes or no, or words.
Form: TypeAlias = Literal["choice", "yes_no", "open"]

_CHOICE = ("choice", "choice_circular", "mmmu", "videomme", "mvbench")
_YES_NO = ("yes_no", "mme", "pope", "hallusion")
#: What scoring reads, besides `question` and `answer`, by kind.
_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "choice": ("A", "B"),
        "choice_circular": ("A", "B"),
        "mmmu": ("A", "B"),
        "mme": ("category", "image_path"),
        "pope": ("category",),
        "hallusion": ("category", "l2-category"),
        "ocrbench": ("category",),
        "mathvista": ("question_type", "answer_type", "choices", "task", "skills"),
        "mathverse": ("question_for_eval", "problem_version"),
        "mmvet": ("category",),
        "logicvista": ("skill",),
        "dynamath": ("answer_type", "qid", "varid"),
        "wemath": ("key", "ID", "knowledge concept"),
        "crpe": ("category",),
        "mvbench": ("candidates", "task_type"),
        "videomme": ("candidates", "duration"),
        **dict.fromkeys(
            ("products_open", "products_choice", "products_rank", "products_json"),
            ("category", "way", "language", "level", "form", "media"),
        ),
    }
)


@dataclass(frozen=True)
class Benchmark:
    """One published set of questions.

    `name`: as VLMEvalKit's users write it. `file`: its table below the data folder. `md5`: of the
    published file, "" where none is known. `kind`: the name of its scorer.
    """

    name: str
    title: str
    kind: str
    md5: str = ""
    medium: Literal["image", "video"] = "image"

    @property
    def ranks(self) -> bool:
        """Whether its options are put in the order of their likelihood, instead of a reply."""
        return self.kind == "products_rank"

    @property
    def file(self) -> str:
        return f"{self.name}.tsv"

    @property
    def form(self) -> Form:
        if self.kind in _CHOICE:
            return "choice"
        return "yes_no" if self.kind in _YES_NO else "open"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns without which its table is of no use, those of the media aside."""
        return ("index", "question", "answer", *_COLUMNS.get(self.kind, ()))


def _clips(name: str, title: str, kind: str, md5: str = "") -> Benchmark:
    return Benchmark(name, title, kind, md5, medium="video")


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        "MMBench_DEV_EN_V11",
        "MMBench 1.1, dev, English",
        "choice_circular",
        "30c05be8f2f347a50be25aa067248184",
    ),
    Benchmark(
        "MMBench_DEV_CN_V11",
        "MMBench 1.1, dev, Chinese",
        "choice_circular",
        "593f9b5f6bea453d870a798b34ae4f37",
    ),
    Benchmark(
        "MMBench_TEST_EN_V11",
        "MMBench 1.1, test, English",
        "choice_circular",
        "8d1a704e791df6f5d9fb3ef782b65365",
    ),
    Benchmark(
        "MMBench_TEST_CN_V11",
        "MMBench 1.1, test, Chinese",
        "choice_circular",
        "156e6569f9547afb16603eca16e85373",
    ),
    Benchmark("MMStar", "MMStar", "choice", "e1ecd2140806c1b1bbf54b43372efb9e"),
    Benchmark("MMMU_DEV_VAL", "MMMU, dev and val", "mmmu", "585e8ad75e73f75dcad265dfd0417d64"),
    Benchmark(
        "MathVista_MINI", "MathVista, testmini", "mathvista", "f199b98e178e5a2a20e7048f5dcb0464"
    ),
    Benchmark("HallusionBench", "HallusionBench", "hallusion", "0c23ac0dc9ef46832d7a24504f2a0c7c"),
    Benchmark("AI2D_TEST", "AI2D, test", "choice", "0f593e0d1c7df9a3d69bf1f947e71975"),
    Benchmark("OCRBench", "OCRBench", "ocrbench", "e953d98a987cc6e26ef717b61260b778"),
    Benchmark("MMVet", "MM-Vet", "mmvet", "748aa6d4aa9d4de798306a63718455e3"),
    Benchmark("RealWorldQA", "RealWorldQA", "choice", "4de008f55dc4fd008ca9e15321dc44b7"),
    Benchmark("InfoVQA_VAL", "InfographicVQA, val", "anls", "2342e9c225222f0ef4dec545ebb126fe"),
    Benchmark("ChartQA_TEST", "ChartQA, test", "relaxed", "c902e0aa9be5582a7aad6dcf52734b42"),
    Benchmark("MME", "MME", "mme", "b36b43c3f09801f5d368627fb92187c3"),
    Benchmark("DocVQA_VAL", "DocVQA, val", "anls", "d5ee77e1926ff10690d469c56b73eabf"),
    Benchmark("TextVQA_VAL", "TextVQA, val", "vqa_soft", "b233b31f551bbf4056f2f955da3a92cd"),
    Benchmark("POPE", "POPE", "pope", "c12f5acb142f2ef1f85a26ba2fbe41d5"),
    Benchmark("MathVision", "MATH-Vision", "mathvision", "93f6de14f7916e598aa1b7165589831e"),
    Benchmark(
        "MathVision_MINI",
        "MATH-Vision, testmini",
        "mathvision",
        "060fe4fa5d868987ce179307bd5f8a33",
    ),
    Benchmark(
        "MathVerse_MINI", "MathVerse, testmini", "mathverse", "5017caca32b7fa110c350a1bea861b65"
    ),
    Benchmark(
        "MathVerse_MINI_Vision_Only",
        "MathVerse, testmini, vision only",
        "mathverse",
        "68a11d4680014ac881fa37adeadea3a4",
    ),
    Benchmark("LogicVista", "LogicVista", "logicvista", "41c5d33adf33765c399e0e6ae588c061"),
    Benchmark("DynaMath", "DynaMath", "dynamath", "b8425ad9a7114571fc9366e013699494"),
    Benchmark("WeMath", "We-Math", "wemath", "b5e969a075f01290a542411fb7766388"),
    Benchmark("CRPE_EXIST", "CRPE, existence", "crpe", "315584e23ac1ff7f8719ed3b7ad90f08"),
    Benchmark("CRPE_RELATION", "CRPE, relation", "crpe", "bad7094cde0b572288f4b119c2d0c656"),
    _clips("MVBench", "MVBench", "mvbench", "fd21d36522cdedd46d84dc46715ad832"),
    _clips("Video-MME", "Video-MME", "videomme", "85bdd91f9b29a99354c23b97ab7c113c"),
    _clips(
        "TempCompass_MCQ",
        "TempCompass, multiple choice",
        "tempcompass_mcq",
        "7efbb9e6d9dabacd22daf274852691dd",
    ),
    _clips("TempCompass_YorN", "TempCompass, yes or no", "tempcompass_yes_no"),
    _clips(
        "TempCompass_Caption_Matching",
        "TempCompass, caption matching",
        "tempcompass_caption_matching",
    ),
    _clips(
        "TempCompass_Captioning",
        "TempCompass, captioning",
        "tempcompass_captioning",
        "35be9bf2581ea7767f02e9a8f37ae1ab",
    ),
    Benchmark("Products_Open", "Products, open questions", "products_open"),
    Benchmark("Products_Choice", "Products, multiple choice", "products_choice"),
    Benchmark("Products_Rank", "Products, likelihood ranking", "products_rank"),
    Benchmark("Products_JSON", "Products, records", "products_json"),
)


def benchmark_of(name: str) -> Benchmark:
    """The benchmark of a name, whatever its case. An unknown one is a ValueError that says which
    names come near."""
    known = {benchmark.name.lower(): benchmark for benchmark in BENCHMARKS}
    if name.lower() in known:
        return known[name.lower()]
    near = get_close_matches(name.lower(), known, n=4, cutoff=0.3) or list(known)
    names = ", ".join(known[match].name for match in near)
    raise ValueError(f"there is no benchmark {name!r}: did you mean {names}?")
