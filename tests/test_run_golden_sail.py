"""The golden runner on the SAIL-VL sets: green, and red exactly where an expected value changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import run_golden
from golden import folders
from golden.sail import FORMS, SailCases
from test_run_golden import check_each_key, check_each_value, judge_all

SETS = {"aimv2_8b": 16, "internvit_8b": 16, "aimv2_2b_stored_head": 5, "sail2_2b": 12}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_green_and_every_change_turns_its_case_red(
    name: str, golden_sail: Path, sail: Callable[[str], Path]
) -> None:
    golden: dict[str, Any] = folders.read(folders.SAIL / f"{name}.golden.json")
    checker = SailCases(golden_sail, golden, sail(name))
    computed = {case["id"]: checker.values(case) for case in golden["cases"]}
    assert len(golden["cases"]) == SETS[name]
    assert judge_all(golden["cases"], computed) == {}
    check_each_key(golden, computed)
    assert check_each_value(golden, computed) > 500


def test_every_case_has_its_checker() -> None:
    for name in SETS:
        for case in folders.read(folders.SAIL / f"{name}.golden.json")["cases"]:
            assert run_golden.checker_of(case) is SailCases
    assert set(FORMS) == {"chat", "batch_chat", "loss"}
