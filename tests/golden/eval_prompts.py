"""The vectors of prompts, pixel limits and replies: what our sets of prompts give for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from valley.evaluate.benchmarks import BENCHMARKS, Benchmark
from valley.evaluate.items import Item
from valley.evaluate.prompts import DEFAULT, PROMPTS, PromptSet
from valley.evaluate.prompts.base import for_benchmark
from valley.evaluate.prompts.placing import at_markers, gathered
from valley.evaluate.prompts.sail_vl import OPTIONS
from valley.evaluate.prompts.valley2 import OWN
from valley.types import Image, Part, Text

Inputs = Mapping[str, Any]
#: (inputs, name of the benchmark) -> the value of a function.
Compute = Callable[[Inputs, str], Any]
_NAMED = {benchmark.name: benchmark for benchmark in BENCHMARKS}
#: What vectors call a benchmark that is any of its kind.
_NAMED["MCQ"] = replace(_NAMED["MMStar"], name="MCQ")


def benchmark(inputs: Inputs, name: str) -> Benchmark:
    return _NAMED[inputs.get("dataset", name)]


def item(line: Mapping[str, Any]) -> Item:
    """A row of a vector, its pictures named in `image_path`."""
    cells = {name: str(cell) for name, cell in line.items() if name != "image_path"}
    return Item("0", cells, tuple(paths(line.get("image_path", []))))


def paths(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def message(parts: Sequence[Part]) -> list[dict[str, str]]:
    return [
        {"type": "text", "value": part.text}
        if isinstance(part, Text)
        else {"type": "image", "value": part.source}
        for part in parts
    ]


def built(inputs: Inputs, name: str) -> list[dict[str, str]]:
    row = item(inputs["line"])
    shown = tuple(Image(source) for source in row.media)
    return message(DEFAULT.request(benchmark(inputs, name), row, shown).messages[-1].parts)


def split(inputs: Inputs, name: str) -> list[dict[str, str]]:
    pictures = [Image(path) for path in inputs["images"]]
    return message(at_markers(inputs["text"], pictures))


def custom(inputs: Inputs, name: str) -> bool:
    """Whether Valley2 asks a set in words of its own."""
    asked = benchmark(inputs, name)
    return for_benchmark(OWN, asked) is not for_benchmark(DEFAULT.asks, asked)


def limits(prompts: PromptSet) -> Compute:
    def check(inputs: Inputs, name: str) -> list[int | None]:
        budget = prompts.budget(benchmark(inputs, name))
        return [budget.min_pixels, budget.max_pixels]

    return check


def words(prompts: PromptSet) -> Compute:
    return lambda inputs, name: prompts.words(benchmark(inputs, name), item(inputs["line"]))


def own_words(inputs: Inputs, name: str) -> str:
    return for_benchmark(OWN, benchmark(inputs, name))(item(inputs["line"]))


def reply(prompts: PromptSet, field: str) -> Compute:
    return lambda inputs, name: prompts.published_reply(benchmark(inputs, name), inputs[field])


def sail_reply(inputs: Inputs, name: str) -> str:
    prompts = PROMPTS["sail_vl_thinking" if inputs["use_cot"] else "sail_vl"]
    return reply(prompts, "response")(inputs, name)


def reorganised(inputs: Inputs, name: str) -> str:
    """The words with `<image>` for each picture, labelled where there are several."""
    parts = gathered(
        [
            Text(part["value"]) if part["type"] == "text" else Image(part["value"])
            for part in inputs["message"]
        ]
    )
    pictures = sum(isinstance(part, Image) for part in parts)
    labels = [""] if pictures == 1 else [f"Image-{i}: " for i in range(1, pictures + 1)]
    return "".join(f"{label}<image>\n" for label in labels) + parts[-1].text


CHECKERS: dict[str, Compute] = {
    "MMMUDataset.split_MMMU": split,
    "ImageMCQDataset.build_prompt": built,
    "ImageVQADataset.build_prompt": built,
    "Valley2Chat.use_custom_prompt": custom,
    "Valley2Chat.get_pixels_limit": limits(PROMPTS["valley2"]),
    "Valley2Chat.build_prompt": own_words,
    "Valley2Chat.post_process": reply(PROMPTS["valley2"], "generation"),
    "Valley3Chat(thinking=True).build_prompt": words(PROMPTS["valley2_5"]),
    "Valley3Chat(thinking=False).build_prompt": words(PROMPTS["valley2_5_direct"]),
    "Valley3Chat.get_pixels_limit": limits(PROMPTS["valley2_5"]),
    "Valley3Chat.post_process": reply(PROMPTS["valley2_5"], "generation"),
    "sail_vl.process_response": sail_reply,
    "sail_vl.build_multi_choice_prompt": lambda inputs, name: OPTIONS(item(inputs["line"])),
    "sail_vl.reorganize_prompt": reorganised,
    "internvl.mpo_post_processing": reply(PROMPTS["internvl_mpo"], "response"),
}
