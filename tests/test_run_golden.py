"""The golden runner: green on the committed set, red exactly where an expected value changes."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import run_golden
from golden import folders
from golden.compare import KINDS, TOLERANCES, Samples, compare, compare_as
from golden.valley import PublishedCall
from run_golden import checker_of

NAME = "valley2_5_tiny_a"
Computed = dict[str, Any]
Steps = tuple[Any, ...]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return folders.read(folders.VALLEY / f"{NAME}.golden.json")


@pytest.fixture(scope="module")
def computed(golden: dict[str, Any], golden_valley: Path, tiny_valley2_5: Path) -> Computed:
    """The values of every case, computed once: they stay as they are when asked again."""
    checker = PublishedCall(golden_valley, golden, tiny_valley2_5)
    return {case["id"]: checker.values(case) for case in golden["cases"]}


@pytest.fixture(scope="module")
def valley2(golden_valley: Path, tiny_valley2: Path) -> tuple[dict[str, Any], Computed]:
    """The set of Valley2, whose cases come in two forms, and its values."""
    golden = folders.read(folders.VALLEY / "valley2_tiny_a.golden.json")
    checkers: dict[Any, Any] = {}
    computed = {}
    for case in golden["cases"]:
        kind: Any = checker_of(case)
        if kind not in checkers:
            checkers[kind] = kind(golden_valley, golden, tiny_valley2)
        computed[case["id"]] = checkers[kind].values(case)
    return golden, computed


def judge_all(cases: list[dict[str, Any]], computed: Computed) -> dict[str, list[str]]:
    """Failed cases and their problems."""
    results = [run_golden.judge(NAME, case, computed[case["id"]]) for case in cases]
    return {result.case: result.problems for result in results if not result.passed}


def changed(value: Any, kind: str) -> Any:
    """An expected value just outside what its kind allows."""
    if isinstance(value, str):
        return value + "?"
    if kind == "exact":
        return value + 1
    scale = max(1.0, abs(value)) if kind == "sum" else 1.0
    return value + 2.5 * TOLERANCES[kind] * scale


def leaves(value: Any, kind: str, path: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """(path, kind) of every single value. Of a sample only the value: its index is a question."""
    parts = {"shape": "exact", "top5_ids": "exact", "sum": "sum", "abs_sum": "sum"}
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from leaves(inner, parts.get(part, kind), (*path, part))
    elif isinstance(value, list):
        only_last = len(path) > 1 and path[-2] == "samples"
        for index, inner in enumerate(value):
            if not only_last or index == len(value) - 1:
                yield from leaves(inner, kind, (*path, index))
    else:
        yield path, kind


def mutate(expected: dict[str, Any], path: Steps, kind: str) -> dict[str, Any]:
    mutated = copy.deepcopy(expected)
    place: Any = mutated
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = changed(place[path[-1]], kind)
    return mutated


def test_the_committed_set_is_green_and_every_change_turns_its_case_red(
    golden: dict[str, Any], computed: Computed
) -> None:
    assert len(golden["cases"]) == 12
    assert judge_all(golden["cases"], computed) == {}
    check_each_key(golden, computed)
    assert check_each_value(golden, computed) > 1300


def test_the_same_for_two_towers(valley2: tuple[dict[str, Any], Computed]) -> None:
    golden, computed = valley2
    assert len(golden["cases"]) == 14
    assert judge_all(golden["cases"], computed) == {}
    check_each_key(golden, computed)
    assert check_each_value(golden, computed) > 1300


def check_each_key(golden: dict[str, Any], computed: Computed) -> None:
    """One value of each key of each case: exactly that case fails, for exactly that key."""
    for index, case in enumerate(golden["cases"]):
        for key, value in case["expected"].items():
            path, kind = next(leaves(value, computed[case["id"]].KINDS[key], (key,)), (None, ""))
            if path is None:  # an empty list
                continue
            cases = list(golden["cases"])
            cases[index] = {**case, "expected": mutate(case["expected"], path, kind)}
            failed = judge_all(cases, computed)
            assert list(failed) == [case["id"]], (case["id"], path)
            assert len(failed[case["id"]]) == 1
            assert failed[case["id"]][0].startswith(key)


def check_each_value(golden: dict[str, Any], computed: Computed) -> int:
    """Every single number and text that a case lists; how many there are."""
    count = 0
    for case in golden["cases"]:
        for key, value in case["expected"].items():
            values = computed[case["id"]]
            for path, kind in leaves(value, values.KINDS[key], (key,)):
                wanted = mutate({key: value}, path, kind)[key]
                finding = compare_as(values.KINDS[key], key, wanted, getattr(values, key))
                assert key in (finding.problem or ""), (case["id"], path)
                assert finding.difference > 0
                count += 1
    return count


def test_unknown_keys_fail_and_are_named(golden: dict[str, Any], computed: Computed) -> None:
    case = golden["cases"][4]
    odd = {**case, "expected": {**case["expected"], "tile_numbers": [1]}}
    assert "tile_numbers" in judge_all([odd], computed)[case["id"]][0]
    pixels = {**case["expected"]["pixel_values"], "median": 0.0}
    odd = {**case, "expected": {"pixel_values": pixels}}
    assert "median" in judge_all([odd], computed)[case["id"]][0]
    private = {**case, "expected": {"_inputs": 1}}
    assert "_inputs" in judge_all([private], computed)[case["id"]][0]


def test_a_case_that_expects_nothing_fails(golden: dict[str, Any], computed: Computed) -> None:
    case = {**golden["cases"][0], "expected": {}}
    assert judge_all([case], computed)


def test_missing_and_extra_items_fail(golden: dict[str, Any], computed: Computed) -> None:
    case = golden["cases"][4]
    for key, value in case["expected"].items():
        if not isinstance(value, list):
            continue
        for wrong in (value[:-1], [*value, value[-1]]):
            finding = compare(key, wrong, getattr(computed[case["id"]], key))
            assert finding.problem, key


def test_an_expectation_that_does_not_apply_fails(
    golden: dict[str, Any], computed: Computed
) -> None:
    """A text-only case has no pixels to compare."""
    case = next(case for case in golden["cases"] if case.get("mode") == "no_image")
    odd = {**case, "expected": {"image_grid_thw": [[1, 4, 4]]}}
    assert "image_grid_thw" in judge_all([odd], computed)[case["id"]][0]


@pytest.mark.parametrize(
    ("key", "expected", "actual", "passes"),
    [
        ("last_logits_first8", [1.0], [1.0 + 2.9e-4], True),
        ("last_logits_first8", [1.0], [1.0 + 3.1e-4], False),
        ("last_logits_first8", [1.0], [math.nan], False),
        ("last_logits_first8", [math.nan], [1.0], False),
        ("last_logits_first8", "1.0", [1.0], False),
        ("last_logits_sum", 1000.0, 1000.9, True),
        ("last_logits_sum", 1000.0, 1001.1, False),
        ("last_logits_sum", 0.001, 0.0019, True),
        ("last_logits_sum", 0.001, 0.0022, False),
        ("loss", [2.0], [2.00009], True),
        ("loss", [2.0], [2.0002], False),
        ("seq_len", 4, 4, True),
        ("seq_len", 4, 5, False),
        ("seq_len", 4.0, 4, False),
        ("n_labels", True, 1, False),
        ("text", "a", "a", True),
        ("pixel_values", {"samples": [[0, 1, 2.0]]}, Samples([[1.0, 2.0]]), True),
        ("pixel_values", {"samples": [[0, 1, 2.00002]]}, Samples([[1.0, 2.0]]), False),
        ("pixel_values", {"samples": [[0, 7, 2.0]]}, Samples([[1.0, 2.0]]), False),
        ("pixel_values", {"samples": [[0, -1, 2.0]]}, Samples([[1.0, 2.0]]), False),
        ("pixel_values", {"abs_sum": 3.0}, Samples([[1.0, -2.0]]), True),
        ("pixel_values", [{"sum": 1.0}, {"sum": 2.0}], Samples([1.0, 2.0], [1, 1]), True),
        ("pixel_values", [{"sum": 1.0}, {"sum": 3.0}], Samples([1.0, 2.0], [1, 1]), False),
        ("pixel_values", [{"sum": 1.0}], Samples([1.0, 2.0], [1, 1]), False),
        ("pixel_values", {"shape": [2]}, Samples([1.0, 2.0], [1, 1]), True),
        ("pixel_values", {"sum": 4.0}, Samples([1.0, 2.0], [1, 1]), False),
        ("pixel_values", 3.0, Samples([1.0, 2.0]), False),
    ],
)
def test_tolerances(key: str, expected: Any, actual: Any, passes: bool) -> None:
    assert (compare(key, expected, actual).problem is None) is passes


def test_the_table_of_tolerances() -> None:
    published = {"pixels": 1e-5, "features": 1e-4, "logits": 3e-4, "loss": 1e-4, "sum": 1e-3}
    assert published.items() <= TOLERANCES.items()
    assert set(KINDS.values()) <= set(TOLERANCES)


def folder_with(tmp_path: Path, cases: list[dict[str, Any]], **golden: Any) -> Path:
    """A golden folder whose make script fails, so that nothing is loaded."""
    folder = tmp_path / "folder"
    folder.mkdir()
    text = json.dumps({**golden, "cases": cases})
    (folder / "odd.golden.json").write_text(text, encoding="utf-8")
    (folder / "make_tiny_odd.py").write_text("raise SystemExit('no such set')", encoding="utf-8")
    return folder


def test_forms_without_checker_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forms = [
        {"id": "a", "path": "page"},
        {"id": "b", "kind": "stream"},
        {"id": "c", "kind": "reward"},
        {"id": "d", "path": "hf", "mode": "no_such_mode"},
        {"id": "e"},
    ]
    folder = folder_with(tmp_path, [{**form, "expected": {"seq_len": 1}} for form in forms])
    assert run_golden.main([str(folder)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("FAIL  ") + printed.count("FAIL\n") == 5
    for words in ("path 'page'", "kind 'stream'", "kind 'reward'", "path 'hf' mode 'no_such"):
        assert f"no checker for {words}" in printed
    assert printed.splitlines()[-1] == "0 passed, 5 failed"


def test_a_checkpoint_that_cannot_be_written_fails_each_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [{"id": name, "path": "hf", "expected": {"seq_len": 1}} for name in ("a", "b")]
    assert run_golden.main([str(folder_with(tmp_path, cases))]) == 1
    printed = capsys.readouterr().out
    assert printed.count("no such set") == 2
    assert printed.splitlines()[-1] == "0 passed, 2 failed"


def test_nothing_to_check_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_with(tmp_path, [{"id": "a", "path": "chat", "expected": {}}])
    assert run_golden.main([str(folder), "--only", "nothing_of_this_name"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed"
    with pytest.raises(SystemExit) as caught:
        run_golden.main([str(tmp_path)])
    assert caught.value.code == 2


def test_a_folder_of_the_same_form_runs_from_end_to_end(
    golden_valley: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole run of one case, its set under another name and one expectation wrong."""
    folder = tmp_path / "hidden"
    shutil.copytree(golden_valley / "tokenizers", folder / "tokenizers")
    (folder / "images").mkdir()
    shutil.copy(golden_valley / "images" / "p56x56.png", folder / "images")
    shutil.copy(golden_valley / "make_tiny.py", folder)
    shutil.copy(golden_valley / f"{NAME}.json", folder / "other_b.json")
    golden = folders.read(golden_valley / f"{NAME}.golden.json")
    golden["cases"] = [case for case in golden["cases"] if case["id"] == "small_upsampled_inline"]
    text = json.dumps(golden)
    (folder / "other_b.golden.json").write_text(text, encoding="utf-8")
    assert run_golden.main([str(folder), "--only", "small"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "1 passed, 0 failed"
    assert printed[0].startswith("other_b  small_upsampled_inline  PASS  input_ids 0 ")
    assert "last_logits_first8" in printed[0]
    wrong = text.replace('"seq_len": ', '"seq_len": 1')
    (folder / "other_b.golden.json").write_text(wrong, encoding="utf-8")
    assert run_golden.main([str(folder)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "0 passed, 1 failed"
    assert any(line.startswith("  seq_len: expected ") for line in printed)
