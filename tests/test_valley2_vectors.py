"""Every vector of the published Valley2 code, and that each of their values counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import run_vectors
from golden import folders
from golden.valley2_vectors import ASKED, DIFFERENT, Valley2Vectors, write_checkpoint

VECTORS = run_vectors.read_vectors(folders.DATA / "valley2_vectors.json")
#: What a vector asks, by section; the rest is what it expects.
QUESTIONS = {"anyres_and_token_counts": {"size"}, "prompts": {"text", "image_sizes"}}
CASES = [
    (section, name)
    for section in ("prompts", "tiny_model_golden", "tiny_model_intermediates")
    for name in VECTORS[section]
]


@pytest.fixture(scope="module")
def checker(golden_valley: Path, tmp_path_factory: pytest.TempPathFactory) -> Valley2Vectors:
    torch.set_num_threads(1)
    target = tmp_path_factory.mktemp("vectors") / "tiny"
    return Valley2Vectors(write_checkpoint(target, golden_valley / "tokenizers" / "valley2"))


def problems(checker: Valley2Vectors, sections: dict[str, Any]) -> dict[str, list[str]]:
    results = run_vectors.check_sections("v", sections, checker)
    return {result.case: result.problems for result in results}


def test_all_are_here() -> None:
    assert len(VECTORS["anyres_and_token_counts"]) == 32
    assert len(VECTORS["prompts"]) == 19
    assert VECTORS["tiny_model_golden"].keys() == ASKED.keys()
    assert len(VECTORS["tiny_model_intermediates"]) == 5


def test_what_differs_from_published_is_listed_with_its_reason() -> None:
    """Published errors, and what ours refuses although the published code goes on."""
    errors = {
        name
        for section in ("prompts", "tiny_model_golden")
        for name, vector in VECTORS[section].items()
        if "error" in vector or "error" in vector.get("hf", ())
    }
    assert errors | {"fewer_images", "fewer_placeholders_than_images"} == DIFFERENT.keys()
    assert all(reason.startswith("published: ") for reason in DIFFERENT.values())


def test_counts(checker: Valley2Vectors) -> None:
    found = problems(checker, {name: VECTORS[name] for name in ("env", "anyres_and_token_counts")})
    assert len(found) == 32
    assert not any(found.values())


@pytest.mark.parametrize(("section", "name"), CASES)
def test_vector(checker: Valley2Vectors, section: str, name: str) -> None:
    found = problems(checker, {section: {name: VECTORS[section][name]}})
    assert list(found.values()) == [[]]


def changed(value: Any) -> Any:
    """A value just outside what its kind allows."""
    if isinstance(value, dict):
        first = next(iter(value))
        return {**value, first: changed(value[first])}
    if isinstance(value, list):
        return [changed(value[0]), *value[1:]]
    if isinstance(value, float):
        return value + 2.5e-3 * max(1.0, abs(value))
    return value + 1 if isinstance(value, int) else value + "?"


def mutations(section: str, vector: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, the vector with that value changed); both paths of a run one by one."""
    for key, value in vector.items():
        if key in ("hf", "gh") and isinstance(value, dict):
            for inner, mutated in mutations(section, value):
                yield inner, {**vector, key: mutated}
        elif key not in QUESTIONS.get(section, ()):
            yield key, {**vector, key: changed(value)}


MUTATED = [
    *(("tiny_model_golden", name) for name in ("single_640x480", "train_two_turn")),
    *(("tiny_model_golden", name) for name in ("anyres_false", "fewer_placeholders_than_images")),
    *(("prompts", name) for name in ("single_system", "chat_multi2", "fewer_images")),
    *(("tiny_model_intermediates", name) for name in VECTORS["tiny_model_intermediates"]),
]


@pytest.mark.parametrize(("section", "name"), MUTATED)
def test_every_value_counts(checker: Valley2Vectors, section: str, name: str) -> None:
    count = 0
    for key, mutated in mutations(section, VECTORS[section][name]):
        found = problems(checker, {section: {name: mutated}})
        ((_, told),) = found.items()
        assert [problem.startswith(f"{key}:") for problem in told] == [True], (key, told)
        count += 1
    assert count


def test_every_count_counts(checker: Valley2Vectors) -> None:
    section = "anyres_and_token_counts"
    for key, row in mutations(section, VECTORS[section][9]):
        ((_, told),) = problems(checker, {section: [row]}).items()
        assert [problem.startswith(f"{key}:") for problem in told] == [True]


@pytest.mark.parametrize(
    "sections",
    [
        {"surprise": {}},
        {"prompts": {"single_system": {**VECTORS["prompts"]["single_system"], "surprise": 1}}},
        {"tiny_model_golden": {"surprise": {}}},
        {"tiny_model_intermediates": {"surprise": {}}},
    ],
)
def test_what_nobody_knows_fails(checker: Valley2Vectors, sections: dict[str, Any]) -> None:
    (told,) = problems(checker, sections).values()
    assert told
    assert "surprise" in told[0]
