"""Multiple choice in both profiles."""

from __future__ import annotations

import pytest

from evaluate.scorers.both import PETS, both, verdicts
from valley.evaluate.items import Item, Question, Scored, Verdict
from valley.evaluate.profiles import PROFILES, STRICT
from valley.evaluate.scorers.choice import can_infer


@pytest.mark.parametrize(
    ("reply", "signs"),
    [
        *((reply, "11") for reply in ("B", "B.", "(B) dog", "The answer is B", "dog", "**B**")),
        *((reply, "11") for reply in ("\\boxed{B}", "answer is Because it is B")),
        # no ASCII punctuation around the letter, or none that VLMEvalKit knows
        *((reply, "?1") for reply in ("答案：B", "选B", "（B）", "B。", "Ｂ", "**答案**：B")),
        *((reply, "?1") for reply in ("$B$", "<answer>B</answer>", "'B'", '"B"', "`B`", "b")),
        ("<think>A or C? A.</think>B", "01"),
        ("The answer is dog", "01"),  # the D of dog
        ("not B", "1?"),
        ("The answer is about pets", "0?"),  # the A of about
        ("I know", "0?"),  # the no of know
        ("A和C都不对，答案：B", "?1"),
        ("B/C", "??"),
        ("", "?0"),
        ("Cannot determine the answer", "00"),
    ],
)
def test_both_profiles(reply: str, signs: str) -> None:
    assert both("choice", reply, **PETS) == signs


def test_an_article_is_no_answer() -> None:
    published, strict = verdicts("choice", "A rabbit is shown", **PETS)
    assert (published.extracted, strict.extracted) == ("A", "C")


def test_parts_of_words_are_no_options() -> None:
    cells = {"A": "red", "B": "a thing that is blue", "answer": "A"}
    assert both("choice", "infrared", **cells) == "1?"


def test_letters_beyond_four() -> None:
    cells = {letter: f"option {letter.lower()}x" for letter in "ABCDEFG"} | {"answer": "F"}
    reply = "The answer is F because none of the others can be it at all"
    assert both("choice", reply, **cells) == "?1"


def test_verbose_loses_a_lone_a() -> None:
    options = {"A": "cat", "B": "dog"}
    assert can_infer("The answer is A", options) == "A"
    assert can_infer("The answer is A", options, verbose=True) is None


def test_a_judge_reads_what_rules_cannot() -> None:
    asked: list[str] = []

    def judge(question: Question) -> str:
        asked.append(question.prompt)
        if len(asked) % 2:
            raise ValueError("nothing came back")
        return "B"

    assert [v.score for v in verdicts("choice", "the barking one", judge, **PETS)] == [1.0, 1.0]
    assert len(asked) == 4
    assert "A. cat\nB. dog\n" in asked[0]
    assert "the barking one" in asked[0]
    cells = PETS | {"question": "哪一个？"}
    verdicts("choice", "the barking one", judge, **cells)
    assert "匹配" in asked[-1]


@pytest.mark.parametrize("profile", ["vlmevalkit", "strict"])
def test_circular_groups_need_every_reply(profile: str) -> None:
    scorer = PROFILES[profile].scorers["choice_circular"]
    rows = {"3": 1.0, "1000003": 1.0, "4": 1.0, "1000004": 0.0, "1000005": 1.0}
    scored = [Scored(Item(index, {"A": "x"}), Verdict(score)) for index, score in rows.items()]
    # question 3 is right, 4 is not, and 5 is without its first row
    assert scorer.figures(scored)["Overall"] == 50.0
    assert scorer.cluster(scored[1].item) == "3"
    named = Item("9", {"g_index": "7"})
    assert scorer.cluster(named) == "7"


@pytest.mark.parametrize(
    ("reply", "answer", "signs"),
    [
        ("$6.81", "$6.81", "11"),
        ("6.81", "$6.81", "?1"),
        ("The answer is 42.", "42", "11"),
        ("no", "42", "?0"),
        ("B", "B", "11"),  # an answer that is a letter stays one
    ],
)
def test_open_questions_of_mmmu(reply: str, answer: str, signs: str) -> None:
    assert both("mmmu", reply, answer=answer) == signs


def test_mmmu_is_its_validation_split() -> None:
    def row(index: str, split: str, score: float) -> Scored:
        return Scored(Item(index, {"split": split}), Verdict(score))

    scored = [row("1", "dev", 0.0), row("2", "validation", 1.0), row("3", "validation", 0.0)]
    figures = STRICT.scorers["mmmu"].figures(scored)
    assert figures["Overall"] == figures["validation: Overall"] == 50.0
    assert figures["dev: Overall"] == 0.0
