"""Verdicts are kept as they come: a kill loses none and changes none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from caption import work
from caption.engines import Scripted, Weighing, examiner, good
from model.pictures import picture
from valley.caption.products import Input
from valley.caption.running import Summary, run
from valley.model.files import NANO
from valley.planning import Planner
from valley.types import Reply, Request, Text

PLANNER = Planner.of(NANO)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve small pictures."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(12):
        picture(seed, 56, 56).save(pictures / f"{seed:02}.png")
    return pictures


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judge(folder: Path, out: Path, engine: Scripted, **task: object) -> Summary:
    return run(examiner(PLANNER, engine, **task), Input([folder]), out)


def kill_and_go_on(command: Sequence[str], out: Path, targets: Sequence[int]) -> None:
    """Kill a run at each of these numbers of lines, then let one go through."""
    tests = Path(work.__file__).parent.parent
    paths = os.pathsep.join([str(tests), *filter(None, sys.path)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    for target in targets:
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            while not out.exists() or out.read_bytes().count(b"\n") < target:
                assert process.poll() is None, "done before it was killed"
                time.sleep(0.002)
            process.kill()
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_killed_it_leaves_the_file_of_a_run_that_was_not(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.jsonl"
    for seed in range(12, 48):
        picture(seed, 56, 56).save(folder / f"{seed:02}.png")
    kill_and_go_on([sys.executable, work.__file__, str(folder), str(whole)], whole, [])
    command = [sys.executable, work.__file__, str(folder), str(out)]
    kill_and_go_on(command, out, [1, 11, 12, 30])
    assert out.read_bytes() == whole.read_bytes()
    found = lines(out)
    assert [line["id"] for line in found] == [f"{seed:02}.png" for seed in range(48)]
    assert {line["tries"] for line in found} == {1, 3}


def test_nano_killed_leaves_the_file_of_a_run_that_was_not(folder: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}')
    asked = ["caption", str(folder), "--schema", str(schema), "--max-new-tokens", "24"]
    asked += ["--batch-size", "2", "--device", "cpu", "--labels", "mug,lamp", "--out"]
    files = [tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"]
    for file, targets in zip(files, ([], [3]), strict=True):
        kill_and_go_on([sys.executable, "-m", "valley", *asked, str(file)], file, targets)
    assert files[0].read_bytes() == files[1].read_bytes()
    for line in lines(files[0]):
        assert line["error"] is None
        assert set(line["reply"]) <= {"a", "b"}
        assert len(line["labels"]) == 2


def test_what_was_judged_is_not_asked_again(folder: Path, out: Path) -> None:
    first, second = Scripted(), Scripted()
    assert judge(folder, out, first).asked == 12
    before = out.read_bytes()
    summary = judge(folder, out, second)
    assert (summary.asked, summary.verdicts, second.asked) == (0, 12, [])
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    "task", [{"prompt": "Else?"}, {"max_new_tokens": 9}, {"seed": 3}, {"schema": "{}"}]
)
def test_another_task_judges_again(folder: Path, out: Path, task: dict[str, Any]) -> None:
    judge(folder, out, Scripted())
    assert judge(folder, out, engine := Scripted(), **task).asked == 12
    assert engine.asked == [0] * 12
    assert len(lines(out)) == 12


def test_another_picture_is_judged_again_alone(folder: Path, out: Path) -> None:
    judge(folder, out, Scripted())
    before = lines(out)
    picture(99, 56, 56).save(folder / "03.png")
    assert judge(folder, out, Scripted()).asked == 1
    changed = [one["id"] for one, two in zip(before, lines(out), strict=True) if one != two]
    assert changed == ["03.png"]


def test_errors_stand_in_their_place_and_are_tried_again(folder: Path, out: Path) -> None:
    whole = judge(folder, out, Scripted())
    expected = out.read_bytes()
    out.unlink()
    good_bytes = (folder / "04.png").read_bytes()
    (folder / "04.png").write_bytes(good_bytes[:200])
    summary = judge(folder, out, Scripted())
    assert list(summary.errors) == ["04.png"]
    assert (summary.verdicts, whole.verdicts) == (11, 12)
    line = lines(out)[4]
    assert line["id"] == "04.png" and line["reply"] is None
    assert "check that it is whole" in line["error"]
    assert str(folder.parent) not in line["error"].replace(str(folder), "")
    (folder / "04.png").write_bytes(good_bytes)
    assert judge(folder, out, Scripted()).asked == 1
    assert out.read_bytes() == expected


def cut_off(times: int) -> Callable[[Request, int], Reply]:
    def answer(request: Request, retry: int) -> Reply:
        if retry < times:
            return Reply('{"wh', raw='{"wh', finish_reason="length")
        return good(request, retry)

    return answer


@pytest.mark.parametrize(("times", "tries"), [(0, 1), (1, 2), (2, 3), (3, None)])
def test_a_reply_that_is_cut_off_is_asked_again_as_often_as_may_be(
    folder: Path, out: Path, times: int, tries: int | None
) -> None:
    summary = judge(folder, out, engine := Scripted(cut_off(times)), retries=2)
    assert len(engine.asked) == 12 * min(times + 1, 3)
    for line in lines(out):
        assert line["tries"] == (tries or 3)
        if tries:
            assert line["error"] is None
        else:
            assert "cut off: raise --max-new-tokens" in line["error"]
            assert "(3 tries)" in line["error"]
    assert summary.retried == (12 if tries in (2, 3) else 0)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ('{"what": 3}', "/what: 3 is not of type"),
        ('{"what": "x", "kind": "cup"}', '/kind: "cup" is not one of'),
        ('{"what": "x", "more": 1}', "Additional properties"),
        ('{"what": NaN}', "NaN is no number"),
        ("a mug", "not JSON"),
    ],
)
def test_a_reply_that_is_not_of_the_schema_is_no_verdict(
    folder: Path, out: Path, raw: str, problem: str
) -> None:
    judge(folder, out, Scripted(lambda request, retry: Reply(raw, raw=raw)), retries=0)
    assert all(problem in line["error"] for line in lines(out))


def test_tags_in_the_strings_of_a_reply_are_words(folder: Path, out: Path) -> None:
    raw = '{"what": "<answer>x</answer>"}'
    judge(folder, out, Scripted(lambda request, retry: Reply("x", raw=raw)))
    assert lines(out)[0]["reply"] == {"what": "<answer>x</answer>"}


def test_free_text_and_labels(folder: Path, out: Path) -> None:
    summary = judge(folder, out, Weighing(), schema=None, labels=("tea", "coffee"))
    line = lines(out)[0]
    assert isinstance(line["reply"], str)
    assert line["labels"] == {"tea": -3.0, "coffee": -6.0}
    assert summary.likeliest == {"tea": 12}
    with pytest.raises(ValueError, match="likelihood of whole replies"):
        examiner(PLANNER, Scripted(), labels=("tea",))
    with pytest.raises(ValueError, match="given once"):
        examiner(PLANNER, Weighing(), labels=("tea", "tea"))


def test_an_engine_that_chokes_on_one_product_costs_no_other(folder: Path, out: Path) -> None:
    seen: list[str] = []

    def answer(request: Request, retry: int) -> Reply:
        seen.append("".join(p.text for p in request.messages[0].parts if isinstance(p, Text)))
        if request.messages[0].parts[0].source.getpixel((0, 0)) == corner:
            raise RuntimeError("too\nhot")
        return good(request, retry)

    corner = picture(5, 56, 56).convert("RGB").getpixel((0, 0))
    summary = judge(folder, out, Scripted(answer))
    assert summary.errors == {"05.png": "too hot"}
    assert "Answer with JSON of this schema: {" in seen[0]


def test_verdicts_on_other_products_are_never_dropped(folder: Path, out: Path) -> None:
    judge(folder, out, Scripted())
    (folder / "07.png").unlink()
    with pytest.raises(ValueError, match=r"1 verdicts on other products, such as '07.png'"):
        judge(folder, out, Scripted())
    assert len(lines(out)) == 12
