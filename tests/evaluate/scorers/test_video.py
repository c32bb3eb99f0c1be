"""Questions on clips, CRPE and WeMath in both profiles."""

from __future__ import annotations

import pytest

from evaluate.scorers.both import PETS, both
from valley.evaluate.items import Item, Profile, Scored, Verdict
from valley.evaluate.profiles import PROFILES, STRICT, VLMEVALKIT
from valley.evaluate.scorers.asking import FAILED


@pytest.mark.parametrize(
    ("reply", "signs"),
    [
        ("B", "11"),
        ("The answer is B.", "11"),
        ("Apparently B", "01"),  # the A of Apparently
        ("Dog: (B)", "01"),
        ("", "?0"),
    ],
)
def test_video_mme(reply: str, signs: str) -> None:
    assert both("videomme", reply, **PETS) == signs


def test_two_commas_are_missing() -> None:
    cells = PETS | {"answer": "C"}
    assert both("videomme", "Best option: C", **cells) == "01"  # the B of Best
    assert both("mme_realworld", "Best option: C", **cells) == "11"


def test_shares_of_video_mme_have_three_decimals() -> None:
    scored = [Scored(Item(str(n), {}), Verdict(float(n == 0))) for n in range(3)]
    assert VLMEVALKIT.scorers["videomme"].figures(scored)["Overall"] == pytest.approx(33.3)
    assert STRICT.scorers["videomme"].figures(scored)["Overall"] == pytest.approx(100 / 3)


@pytest.mark.parametrize(
    ("reply", "signs"),
    [
        ("(a) run", "11"),
        ("A", "11"),
        ("", "10"),
        ("(", "1?"),
        (".", "1?"),
        ("Answer: (B)", "00"),
    ],
)
def test_mvbench(reply: str, signs: str) -> None:
    assert both("mvbench", reply, answer="run", candidates="['run', 'walk']") == signs


def test_failures_of_mvbench_are_wrong() -> None:
    item = Item("0", {"answer": "run", "candidates": "['run', 'walk']"})
    scores = [p.scorers["mvbench"].score(item, FAILED).score for p in (VLMEVALKIT, STRICT)]
    assert scores == [1.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "reply", "answer", "signs"),
    [
        ("yes_no", "Yes, they do", "yes", "11"),
        ("yes_no", "yesterday", "yes", "1?"),
        ("yes_no", "nothing", "no", "1?"),
        ("yes_no", "**Yes**", "yes", "?1"),
        ("mcq", "A", "A. run", "11"),
        ("mcq", "(A)", "A. run", "?1"),
        ("mcq", "答案：A", "A. run", "?1"),
        ("mcq", "B. walk", "A. run", "00"),
        ("caption_matching", "Caption A", "Caption A: a man runs", "11"),
        ("caption_matching", "It is (A)", "Caption A: a man runs", "?1"),
        ("caption_matching", "Caption B", "Caption A: a man runs", "00"),
        ("captioning", "a man runs", "A. run", "??"),
    ],
)
def test_tempcompass(kind: str, reply: str, answer: str, signs: str) -> None:
    cells = {"answer": answer, "A": "run", "B": "walk"}
    if kind == "caption_matching":
        cells = {"answer": answer, "candidates": "['Caption A: a man runs', 'Caption B: he walks']"}
    assert both(f"tempcompass_{kind}", reply, **cells) == signs


def test_a_judge_answers_by_the_caption() -> None:
    item = Item("0", {"mc_question": "What?\nA. run\nB. walk", "mc_answer": "A. run"})
    scorer = STRICT.scorers["tempcompass_captioning"]
    assert scorer.score(item, "he runs", lambda question: "Answer: A. run").score == 1.0
    assert scorer.score(item, "he runs", lambda question: "Answer: B. walk").score == 0.0


@pytest.mark.parametrize(
    ("reply", "signs"),
    [
        ("B. two birds", "11"),
        ("(B)", "01"),
        ("Many: two birds", "11"),
        ("A group of two birds", "01"),
        ("Anything", "0?"),
        ("", "00"),
    ],
)
def test_crpe(reply: str, signs: str) -> None:
    assert both("crpe", reply, answer="B. two birds") in (signs, signs.replace("?", "0"))


@pytest.mark.parametrize("profile", PROFILES.values())
def test_four_rows_of_crpe_are_one_question(profile: Profile) -> None:
    """Of five questions the first and the last are right; the third is wrong in its last row."""
    rights = ["1111", "0111", "1110", "0000", "1111"]
    categories = ["subject", "subject", "object", "predicate", "object"]
    scored = [
        Scored(Item(str(4 * n + place), {"category": category}), Verdict(float(right)))
        for n, (question, category) in enumerate(zip(rights, categories, strict=True))
        for place, right in enumerate(question)
    ]
    assert profile.scorers["crpe"].figures(scored) == {
        "Overall": 40.0,
        "object": 50.0,
        "predicate": 0.0,
        "subject": 50.0,
    }


@pytest.mark.parametrize(
    ("reply", "signs"),
    [("Answer: B", "11"), ("Answer: (B)", "?1"), ("The Answer is B", "?1"), ("B", "11")],
)
def test_wemath(reply: str, signs: str) -> None:
    assert both("wemath", reply, **PETS) == signs


def test_rote_memorisation() -> None:
    def problem(name: str, steps: tuple[int, int], whole: int) -> list[Scored]:
        keys = {"2steps_1": steps[0], "2steps_2": steps[1], "2steps_multi": whole}
        return [
            Scored(Item(f"{name}{key}", {"ID": name, "key": key}), Verdict(float(right)))
            for key, right in keys.items()
        ]

    scored = [*problem("x", (1, 1), 1), *problem("y", (0, 1), 1), *problem("z", (1, 1), 0)]
    figures = STRICT.scorers["wemath"].figures(scored)
    assert figures["RoteMemorization (Strict)"] == 50.0
    assert figures["RoteMemorization (Loose)"] == 0.0
    assert figures["Overall"] == pytest.approx((3 - 0.5 - 1) / 3 * 100)
    assert VLMEVALKIT.scorers["wemath"].figures(scored)["Overall"] == (525 - 1.5) / 525 * 100
