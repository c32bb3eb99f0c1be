"""How benchmarks are asked: as published, to the letter."""

from __future__ import annotations

import pytest

from golden.eval_prompts import custom, item
from valley.evaluate.benchmarks import BENCHMARKS, benchmark_of
from valley.evaluate.prompts import BY_FAMILY, PROMPTS, prompts_of
from valley.families import FAMILIES
from valley.types import Budget, Image, Text, Video


def test_every_line_has_prompts_and_every_benchmark_is_asked() -> None:
    assert BY_FAMILY.keys() == {family.name for family in FAMILIES}
    row = item({"question": "What?", "A": "x", "B": "y", "candidates": "['p', 'q']"})
    for prompts in PROMPTS.values():
        for benchmark in BENCHMARKS:
            request = prompts.request(benchmark, row, (Image("1.png"),))
            assert "What?" in request.messages[-1].text


def test_budgets_fit_their_lines() -> None:
    for family in FAMILIES:
        for benchmark in BENCHMARKS:
            for pictures in (1, 2, 9):
                family.check_budget(BY_FAMILY[family.name].budget(benchmark, pictures))
            family.check_budget(BY_FAMILY[family.name].budget(benchmark, clip=True))


def test_several_pictures_share_what_one_may_have() -> None:
    mmmu, info = benchmark_of("MMMU_DEV_VAL"), benchmark_of("InfoVQA_VAL")
    assert PROMPTS["valley2_5"].budget(mmmu, 2) == Budget(min_pixels=39200, max_pixels=501760)
    assert PROMPTS["valley2"].budget(mmmu, 2) == PROMPTS["valley2"].budget(mmmu)
    assert PROMPTS["sail_vl"].budget(info) == Budget(max_tiles=24, scales=2)
    assert PROMPTS["sail_vl"].budget(info, 2) == Budget(max_tiles=24)
    assert PROMPTS["sail_vl"].budget(info, 4) == Budget(max_tiles=16)


def test_a_clip_among_pictures_has_the_limits_of_clips() -> None:
    sail, products = PROMPTS["sail_vl"], benchmark_of("Products_Open")
    row = item({"question": "What?"})
    clip = sail.request(products, row, (Video(["1.png", "2.png"]),))
    assert clip.budget == sail.budget(benchmark_of("MVBench")) == Budget(max_tiles=1)
    assert sail.request(products, row, (Image("1.png"),)).budget == Budget(max_tiles=10, scales=2)
    valley = PROMPTS["valley2"]
    assert valley.budget(products, clip=True) == valley.budget(products)


def test_mvbench_begins_the_reply() -> None:
    row = item({"question": "Which?", "candidates": "['a', 'b']"})
    for prompts in PROMPTS.values():
        for name, prefix in (("MVBench", "Best option:("), ("Video-MME", ""), ("POPE", "")):
            asked = prompts.request(benchmark_of(name), row, (Video(["1.png"]),))
            assert asked.prefix == prefix


def test_valley2_thinks_step_by_step_where_it_was_published_so() -> None:
    row = item({"question": "What?", "A": "x", "B": "y"})
    ending = "\nPlease think step by step."
    prompts = PROMPTS["valley2"]
    ends = {b.name for b in BENCHMARKS if prompts.words(b, row).endswith(ending)}
    assert ends == {"MMMU_DEV_VAL", "MMStar", "OCRBench", "MMVet"}
    assert not custom({}, "OCRBench")


def test_valley_puts_spaces_around_each_picture() -> None:
    row = item({"question": "See <image 2>."})
    pictures = (Image("1.png"), Image("2.png"))
    parts = PROMPTS["valley2"].request(benchmark_of("MMMU_DEV_VAL"), row, pictures).messages[-1]
    texts = [part.text if isinstance(part, Text) else part.source for part in parts.parts]
    assert texts[:4] == ["Question: See ", " ", "2.png", " "]


def test_mathvision_loses_its_hint_only_where_valley2_5_thinks() -> None:
    hint = "Hint: Please answer the question and provide the final answer at the end."
    row = item({"question": f"{hint}\nQuestion: (A) 1"})
    vision = benchmark_of("MathVision")
    assert PROMPTS["valley2_5"].words(vision, row).startswith("\nQuestion: (A) 1\nAnswer this")
    assert PROMPTS["valley2_5_direct"].words(vision, row).startswith(hint)


def test_a_marker_without_its_picture_is_an_error() -> None:
    row = item({"question": "See <image 3>."})
    with pytest.raises(ValueError, match=r"<image 3> of 1 pictures"):
        PROMPTS["default"].request(benchmark_of("MMMU_DEV_VAL"), row, (Image("1.png"),))


def test_unknown_names_are_errors_that_help() -> None:
    with pytest.raises(ValueError, match="did you mean DocVQA_VAL"):
        benchmark_of("DocVQA")
    with pytest.raises(ValueError, match="there are default, valley2"):
        prompts_of("valley9")
    assert benchmark_of("mmstar").name == "MMStar"
