"""The vector runner: green on the committed file, red exactly where a value changes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import run_vectors
from golden import eval_vectors
from golden.folders import DATA
from golden.rewards import ASKED, MPO_ASKED
from golden.vectors import IDS, Valley25Vectors

FILE = DATA / "valley25_vectors.json"
FUNCTIONS = DATA / "eval_vectors.jsonl.xz"
#: What a vector asks; the rest is what it expects.
QUESTIONS = {"w", "h", "input", "min_pixels", "max_pixels"}
PAIRS = "mpo_beta0.1"


@pytest.fixture(scope="module")
def checker(tiny_valley2_5: Path) -> Valley25Vectors:
    return Valley25Vectors(tiny_valley2_5)


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return run_vectors.read_vectors(FILE)


def failures(vectors: dict[str, Any], checker: Valley25Vectors) -> dict[str, list[str]]:
    results = list(run_vectors.check_sections("v", vectors, checker))
    assert len({result.case for result in results}) == len(results)
    return {result.case: result.problems for result in results if not result.passed}


def test_the_committed_file_is_green(vectors: dict[str, Any], checker: Valley25Vectors) -> None:
    results = list(run_vectors.check_sections("v", vectors, checker))
    assert [result.case for result in results if not result.passed] == []
    # 21 sizes in 4 presets and after the first resize, 2 examples, 6 prompts, 5 facts, labels
    others = 21 * 5 + 2 + 6 + 5 + 1
    # edit distances, IoUs, grounding, formats, pairs, advantages, policy losses, KLs, difficulties
    assert len(results) == others + 8 + 5 + 1 + 11 + 2 + 1 + 6 + 2 + 1


def test_what_is_not_checked_is_listed(vectors: dict[str, Any]) -> None:
    notes = run_vectors.not_yet("v", vectors)
    assert notes == ["not checked yet: v rewards.scaling"]


def table_mutations(vectors: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """(mutated sections, case, key) for every number of the image table."""
    table = vectors["images"]["image_token_table"]
    for row_index, row in enumerate(table):
        size = f"{row['w']}x{row['h']}"
        for preset, counts in row.items():
            if preset in QUESTIONS:
                continue
            keys = counts if isinstance(counts, dict) else {preset: counts}
            for key, value in keys.items():
                for place in range(len(value)) if isinstance(value, list) else [None]:
                    changed = copy.deepcopy(row)
                    holder = changed[preset] if isinstance(counts, dict) else changed
                    if place is None:
                        holder[key] += 1
                    else:
                        holder[key][place] += 1
                    rows = [*table[:row_index], changed, *table[row_index + 1 :]]
                    yield {"images": {"image_token_table": rows}}, f"{size} {preset}", key


def test_every_number_of_the_image_table_counts(
    vectors: dict[str, Any], checker: Valley25Vectors
) -> None:
    count = 0
    for mutated, case, key in table_mutations(vectors):
        failed = failures(mutated, checker)
        assert list(failed) == [case]
        assert [problem.startswith(f"{key}:") for problem in failed[case]] == [True]
        count += 1
    assert count == 21 * (2 + 4 * 8)


def changed(value: Any) -> Any:
    if isinstance(value, dict):
        first = next(iter(value))
        return {**value, first: changed(value[first])}
    if isinstance(value, list):
        return [changed(value[0]), *value[1:]]
    if isinstance(value, float):
        return value + 3e-5
    if isinstance(value, int):
        return value + 1
    return value.replace("e", "a", 1) if "e" in value else value + "?"


def single_mutations(vectors: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(section, case, key, mutated section) for every key of the other sections."""
    for name in ("double_resize_example", "placeholder_image"):
        section = vectors["images"][name]
        for key in section.keys() - QUESTIONS - {"png_b64"}:
            yield "images", name, key, {name: {**section, key: changed(section[key])}}
    facts = {k: v for k, v in vectors["prompts"].items() if k[0] == "_" or k == "default_system"}
    for name, vector in vectors["prompts"].items():
        if name.startswith("_"):
            yield "prompts", name, name, {**facts, name: changed(vector)}
            continue
        for key in vector.keys() - {"prompt"}:
            mutated = {**vector, key: changed(vector[key])}
            yield "prompts", name, key, {**facts, name: mutated}
    masking = vectors["label_masking"]
    for key in ("input_ids", "labels"):
        mutated = {**masking, key: changed(masking[key])}
        yield "label_masking", "label_masking", key, mutated


def test_every_other_key_counts(vectors: dict[str, Any], checker: Valley25Vectors) -> None:
    seen = set()
    for section, case, key, mutated in single_mutations(vectors):
        failed = failures({section: mutated}, checker)
        assert list(failed) == [case], (case, key)
        assert any(problem.startswith(f"{key}:") for problem in failed[case]), (case, key)
        seen.add((case, key))
    assert ("readme_single", IDS) in seen
    assert len(seen) > 30


def reward_mutations(section: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(case, key, mutated part) for every value of the rewards that is expected."""
    for part in ASKED:
        value = section[part]
        entries = value if isinstance(value, list) else [value]
        for number, entry in enumerate(entries):
            case = f"{part}[{number}]" if isinstance(value, list) else part
            for key in entry.keys() - set(ASKED[part]):
                mutated = {**entry, key: changed(entry[key])}
                rest = [*entries[:number], mutated, *entries[number + 1 :]]
                yield case, key, {part: rest if isinstance(value, list) else mutated}
    steps = section[PAIRS]["steps"]
    for number, step in enumerate(steps):
        for key in step.keys() - set(MPO_ASKED):
            rest = [*steps[:number], {**step, key: changed(step[key])}, *steps[number + 1 :]]
            yield f"{PAIRS}[{number}]", key, {PAIRS: {"steps": rest}}


def test_every_value_of_the_rewards_counts(
    vectors: dict[str, Any], checker: Valley25Vectors
) -> None:
    parts = set()
    for case, key, mutated in reward_mutations(vectors["rewards"]):
        failed = failures({"rewards": mutated}, checker)
        assert list(failed) == [case], (case, key)
        assert failed[case][0].startswith(f"{key}:"), (case, key)
        parts |= mutated.keys()
    assert parts == vectors["rewards"].keys() - {"scaling"}


def test_another_prompt_is_another_case(vectors: dict[str, Any], checker: Valley25Vectors) -> None:
    """A changed prompt no longer matches its ids; one the processor never writes does not pass."""
    vector = vectors["prompts"]["default_system"]
    for prompt in (
        vector["prompt"].replace("Hi", "Ho"),
        vector["prompt"].replace("assistant\n", "assistant:\n"),
    ):
        failed = failures({"prompts": {"default_system": {**vector, "prompt": prompt}}}, checker)
        assert list(failed) == ["default_system"]


def test_another_placeholder_picture_is_noticed(
    vectors: dict[str, Any], checker: Valley25Vectors
) -> None:
    white = (
        "iVBORw0KGgoAAAANSUhEUgAAAAMAAAADCAIAAADZSiLoAAAAEUlEQVR4nGP4DwUMcBaa"
        "EAQAyYkN82XoEAAAAABJRU5ErkJggg=="
    )
    section = {**vectors["images"]["placeholder_image"], "png_b64": white}
    failed = failures({"images": {"placeholder_image": section}}, checker)
    assert list(failed) == ["placeholder_image"]


@pytest.mark.parametrize(
    ("sections", "case"),
    [
        ({"surprise": {}}, "surprise"),
        ({"images": {"surprise": 1}}, "surprise"),
        ({"images": {"image_token_table": [{"w": 3, "h": 3, "surprise": {}}]}}, "3x3 surprise"),
        ({"prompts": {"_surprise": 1}}, "_surprise"),
        ({"rewards": {"surprise": 1}}, "rewards.surprise"),
        ({"rewards": {PAIRS: {"steps": [], "surprise": 1}}}, f"{PAIRS}.surprise"),
        ({"rewards": {"k3_kl": [{"logp": 0.0, "ref": 0.0, "surprise": 1}]}}, "k3_kl[0]"),
    ],
)
def test_unknown_sections_fail(
    sections: dict[str, Any], case: str, checker: Valley25Vectors
) -> None:
    failed = failures(sections, checker)
    assert list(failed) == [case]
    assert "surprise" in failed[case][0]


def test_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vectors = run_vectors.read_vectors(FILE)
    part = {"label_masking": vectors["label_masking"], "rewards": {"scaling": {}}}
    good = tmp_path / "good.json"
    good.write_text(json.dumps(part), encoding="utf-8")
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n{}\n", encoding="utf-8")
    assert run_vectors.main([str(good)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "1 passed, 0 failed"
    assert "not checked yet: good rewards.scaling" in printed
    assert run_vectors.main([str(good), str(bad), str(tmp_path / "absent.json")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 3 failed"


@pytest.fixture(scope="module")
def functions() -> dict[str, list[dict[str, Any]]]:
    """The vectors of VLMEvalKit's functions, by function."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in run_vectors.read_lines(FUNCTIONS):
        rows.setdefault(row["function"], []).append(row)
    return rows


def test_every_function_is_green(functions: dict[str, list[dict[str, Any]]]) -> None:
    assert functions.keys() == eval_vectors.CHECKERS.keys()
    rows = [row for chosen in functions.values() for row in chosen]
    results = list(eval_vectors.check("v", rows))
    assert [result.case for result in results if not result.passed] == []
    assert len({result.case for result in results}) == len(results) == 1028


def value_mutations(value: Any) -> Iterator[Any]:
    """The value with each of its parts changed once."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: other} for other in value_mutations(part))
        yield {**value, "surprise": 1}
    elif isinstance(value, list):
        for place, part in enumerate(value):
            rest = (value[:place], value[place + 1 :])
            yield from ([*rest[0], other, *rest[1]] for other in value_mutations(part))
        yield [*value, "surprise"]
    elif isinstance(value, bool) or value is None:
        yield not value
    else:
        yield changed(value) if value != "" else "surprise"


#: Vectors of a function that are changed, and changes of each.
VECTORS, CHANGES = 2, 12


def test_every_value_of_a_function_counts(functions: dict[str, list[dict[str, Any]]]) -> None:
    """Of each function, some vectors whose values are each changed once: that case alone is red."""
    beside = functions["levenshtein_distance"][0]
    count = 0
    for name, rows in functions.items():
        for row in [rows[0], rows[-1]][:VECTORS]:
            mutations = list(value_mutations(row["expected"]))
            for expected in mutations[:: max(1, len(mutations) // CHANGES)]:
                results = eval_vectors.check("v", [beside, {**row, "expected": expected}])
                assert [result.passed for result in results] == [True, False], (name, expected)
                count += 1
    assert count > 500


def test_no_line_is_passed_over() -> None:
    row = {"id": 1, "benchmark": "x", "function": "surprise", "inputs": {}, "expected": 1}
    results = list(eval_vectors.check("v", [row, {"id": 2}, 3]))
    assert [result.passed for result in results] == [False] * 3
    assert results[0].problems == ["unknown function surprise"]


def test_what_is_raised_is_compared() -> None:
    row = {
        "id": 1,
        "benchmark": "CRPE",
        "function": "is_correct",
        "inputs": {"answer": "A. x", "prediction": ""},
    }
    for name, passed in (("IndexError", True), ("ValueError", False)):
        (result,) = eval_vectors.check("v", [{**row, "expected": {"raises": name}}])
        assert result.passed is passed
    row["inputs"] = {"answer": "A. x", "prediction": "A"}
    (result,) = eval_vectors.check("v", [{**row, "expected": {"raises": "IndexError"}}])
    assert not result.passed


def test_the_order_of_splits_does_not_count(
    functions: dict[str, list[dict[str, Any]]],
) -> None:
    row = next(r for r in functions["POPE_rating"] if len(r["expected"]["split"]) > 1)
    turned = {name: column[::-1] for name, column in row["expected"].items()}
    (result,) = eval_vectors.check("v", [{**row, "expected": turned}])
    assert result.passed
    wrong = {**turned, "split": row["expected"]["split"]}
    (result,) = eval_vectors.check("v", [{**row, "expected": wrong}])
    assert not result.passed
