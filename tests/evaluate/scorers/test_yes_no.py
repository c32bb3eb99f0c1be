"""Yes or no in both profiles, and the figures of MME, HallusionBench and POPE."""

from __future__ import annotations

import pytest

from evaluate.scorers.both import both
from valley.evaluate.items import Item, Scored, Verdict
from valley.evaluate.profiles import STRICT


@pytest.mark.parametrize(
    ("reply", "signs"),
    [
        *((reply, "11") for reply in ("Yes", "yes, it is", "\\boxed{Yes}")),
        *((reply, "?1") for reply in ("**Yes**", "Yes。", "yes:", "Y", "true", "Yes.It is", "是")),
        *((reply, "00") for reply in ("No", "No, it is not")),
        *((reply, "?0") for reply in ("'no'", "no…", "否", "", "I cannot answer that")),
        *((reply, "??") for reply in ("yes/no", "Yes and no", "perhaps", "know")),
    ],
)
def test_both_profiles(reply: str, signs: str) -> None:
    assert both("yes_no", reply, answer="Yes") == signs


def rows(*cells: tuple[str, dict[str, str], float]) -> list[Scored]:
    return [Scored(Item(index, named), Verdict(score)) for index, named, score in cells]


def test_mme_adds_questions_and_pictures() -> None:
    def row(index: str, picture: str, score: float) -> tuple[str, dict[str, str], float]:
        return index, {"category": "OCR", "image_path": picture}, score

    scored = rows(row("1", "a", 1), row("2", "a", 1), row("3", "b", 1), row("4", "b", 0))
    scorer = STRICT.scorers["mme"]
    figures = scorer.figures(scored)
    assert figures == {"Overall": 125.0, "perception": 125.0, "reasoning": 0, "OCR": 125.0}
    assert scorer.cluster(scored[0].item) == "a"


def test_hallusion_counts_questions_figures_and_all() -> None:
    def row(figure: int, question: int, score: float) -> tuple[str, dict[str, str], float]:
        index = f"VD_chart_1_0_{figure}_{question}"
        return index, {"category": "VD", "l2-category": "chart"}, score

    scored = rows(row(0, 0, 1), row(1, 0, 1), row(0, 1, 1), row(1, 1, 0))
    figures = STRICT.scorers["hallusion"].figures(scored)
    assert (figures["aAcc"], figures["fAcc"], figures["qAcc"]) == (75.0, 50.0, 50.0)
    assert figures["Overall"] == pytest.approx(175 / 3)


def test_pope_is_f1_of_yes() -> None:
    def row(index: str, answer: str, said: str) -> Scored:
        cells = {"answer": answer, "category": "random,popular"}
        return Scored(Item(index, cells), Verdict(float(said == answer), said))

    scored = [row("1", "Yes", "Yes"), row("2", "Yes", "No"), row("3", "No", "Yes")]
    figures = STRICT.scorers["pope"].figures([*scored, row("4", "No", "No")])
    assert figures["Overall"] == figures["random"] == figures["popular"] == 50.0
    assert figures["precision"] == figures["recall"] == figures["acc"] == 50.0
    silent = STRICT.scorers["pope"].figures([row("1", "Yes", "?")])
    assert silent["Overall"] == silent["precision"] == 0.0
