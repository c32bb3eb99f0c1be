"""What is scored, what is missing, and what lies in the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evaluate.sets import Plain, items
from valley.evaluate.items import Answer, Item, Profile, Question, Scored, Scores, Verdict
from valley.evaluate.scores import MISSING, profiles_in, read_scores, score, write_scores
from valley.evaluate.writing import write_whole


@dataclass(frozen=True)
class Benchmark:
    name: str = "Numbers"
    kind: str = "plain"


def profile(**changes: object) -> Profile:
    return Profile("strict", "1", **{"prepare": list, "scorers": {"plain": Plain()}, **changes})


def answers(of: list[Item]) -> list[Answer]:
    return [Answer(item.id, "key", text=item.answer) for item in of]


def test_replies_are_prepared_and_scored_in_the_order_of_the_items() -> None:
    of = items(10)
    strip = profile(prepare=lambda column: [text.strip() for text in column])
    replies = [Answer(a.id, a.key, text=f" {a.text}\n") for a in reversed(answers(of))]
    scores, scored = score(Benchmark(), of, replies, strip)
    assert [one.item for one in scored] == of
    assert scores.figures[0].value == 100
    assert (scores.benchmark, scores.profile, scores.version) == ("Numbers", "strict", "1")
    assert (scores.samples, scores.missing, scores.unresolved, scores.judge) == (10, 0, 0, None)


def test_what_is_missing_is_counted_and_not_guessed() -> None:
    of = items(10)
    replies = answers(of)[:8]
    replies[0] = Answer("0", "key", error="out of memory")
    seen: list[str] = []
    watch = profile(prepare=lambda column: seen.extend(column) or list(column))
    scores, scored = score(Benchmark(), of, replies, watch)
    assert (scores.missing, scores.unresolved) == (3, 0)
    assert len(seen) == 7
    assert [one.verdict for one in scored if one.item.id in "089"] == [MISSING] * 3
    overall = scores.figures[0]
    assert (overall.least, overall.value, overall.most) == (70, 70, 100)


def test_the_last_answer_to_an_item_counts() -> None:
    of = items(2)
    replies = [Answer("0", "old", error="timed out"), *answers(of), Answer("1", "key", text="no")]
    scores, _ = score(Benchmark(), of, replies, profile())
    assert (scores.figures[0].value, scores.missing) == (50, 0)


def test_a_judge_is_named_and_settles_what_rules_cannot() -> None:
    of = items(4)
    replies = [Answer(item.id, "key", text="?") for item in of]
    scores, _ = score(Benchmark(), of, replies, profile())
    assert (scores.unresolved, scores.judge, scores.figures[0].most) == (4, None, 100)

    def oracle(question: Question) -> str:
        return question.prompt.removeprefix("What is ").removesuffix("?")

    scores, scored = score(Benchmark(), of, replies, profile(), oracle)
    assert (scores.unresolved, scores.judge, scores.figures[0].value) == (0, "oracle", 100)
    assert scored[2].verdict == Verdict(1.0, "2")


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="strict scores no 'chess'"):
        score(Benchmark(kind="chess"), items(1), [], profile())
    with pytest.raises(ValueError, match="Numbers has no items"):
        score(Benchmark(), [], [], profile())


def test_files_hold_what_was_scored(tmp_path: Path) -> None:
    odd = Item(
        "\u2028\x07 <é>", {"question": "a\tb\n", "answer": "\ud800", "category": "x"}, (b"",)
    )
    scores, scored = score(Benchmark(), [odd, *items(3)], answers(items(2)), profile())
    folder = tmp_path / "Numbers"
    write_scores(folder, scores, scored)
    assert sorted(path.name for path in folder.iterdir()) == [
        "scores.strict.json",
        "verdicts.strict.jsonl",
    ]
    read, verdicts = read_scores(folder, "strict")
    assert read == scores
    assert verdicts[1:] == scored[1:]
    assert verdicts[0].verdict == MISSING
    assert verdicts[0].item.cells["question"] == "a\tb\n"
    assert json.loads((folder / "scores.strict.json").read_text())["missing"] == 2


def test_profiles_lie_side_by_side(tmp_path: Path) -> None:
    assert profiles_in(tmp_path) == []
    scores, scored = score(Benchmark(), items(2), [], profile())
    for name in ("vlmevalkit", "strict"):
        write_scores(tmp_path, Scores(**{**vars(scores), "profile": name}), scored)
    assert profiles_in(tmp_path) == ["strict", "vlmevalkit"]


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scores.strict.json is not there: score the run"):
        read_scores(tmp_path, "strict")
    scores, scored = score(Benchmark(), items(2), [], profile())
    write_scores(tmp_path, scores, scored)
    (tmp_path / "verdicts.strict.jsonl").write_text('{"id": "0"}\n')
    with pytest.raises(ValueError, match=r"verdicts.strict.jsonl cannot be read"):
        read_scores(tmp_path, "strict")
    (tmp_path / "scores.strict.json").write_text('{"benchmark": 1')
    with pytest.raises(ValueError, match=r"scores.strict.json cannot be read"):
        read_scores(tmp_path, "strict")


def test_a_verdict_survives_its_line(tmp_path: Path) -> None:
    one = Scored(Item("1", {"answer": "x"}), Verdict(0.25, "y", resolved=False), "x?")
    scores, _ = score(Benchmark(), items(2), [], profile())
    write_scores(tmp_path, scores, [one])
    assert read_scores(tmp_path, "strict")[1] == [one]


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> Iterator[str]:
        yield "half"
        raise OSError("no space left")

    (tmp_path / "a").write_text("before")
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "a", pieces())
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "before"
