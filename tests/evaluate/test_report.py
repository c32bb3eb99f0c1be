"""The three forms of a report, from folders made up; the page in a browser: tests/browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluate.made import HOSTILE, PROFILE, SCORERS, items_of, make_run, scorer_of, write_tables
from evaluate.sets import items, run
from valley.cli import main
from valley.evaluate.items import Figure, Item, Scored, Scores, Verdict
from valley.evaluate.published import AVERAGES, benchmarks_of_columns, tables
from valley.evaluate.report import write_report
from valley.evaluate.report.gathering import Result, gather
from valley.evaluate.report.markdown import markdown
from valley.evaluate.report.page import render
from valley.evaluate.report.samples import PICTURE_BYTES, Sample, choose, with_pictures
from valley.evaluate.report.sources import items_in
from valley.evaluate.report.sources import scorer_of as scorer_of_name
from valley.evaluate.report.summary import summarise
from valley.evaluate.report.wording import chance, number, signed, visible
from valley.evaluate.statistics import compare


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("runs")
    return make_run(out / "a"), make_run(out / "b", "nano before", right=0.3, seed=2)


@pytest.fixture(scope="module")
def written(runs: tuple[Path, Path]) -> Path:
    write_report(*runs, scorer_of, items_of)
    return runs[0]


class Reading(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_the_figures_the_replies_and_the_pictures(written: Path) -> None:
    page = Reading((written / "report.html").read_text(encoding="utf-8"))
    (scores,) = (r.scores for r in gather(written) if r.scores.benchmark == "MMStar")
    main = scores.figures[0]
    assert f"{main.value:.2f}" in page.text
    assert f"{main.low:.1f} – {main.high:.1f}" in page.text
    assert "SAIL-VL-1.6-8B" in page.text
    assert "69.47" in page.text
    assert "sampling.max_new_tokens" in page.text
    assert "max_tiles 12, scales 2" in page.text
    pictures = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) > 200
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in pictures)
    assert max(map(len, pictures)) < 1.4 * PICTURE_BYTES
    assert "<10 bytes>: is of an unknown format" in page.text
    assert "and 97,000 more characters" in page.text


def test_words_of_models_and_data_stay_words(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    page = Reading(text)
    assert HOSTILE.replace("\x1b", "␛").replace("\x00", "␀") in page.text
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "<script>" not in (written / "report.md").read_text(encoding="utf-8")


def test_the_page_asks_nothing_of_the_network(written: Path) -> None:
    page = Reading((written / "report.html").read_text(encoding="utf-8"))
    (policy,) = (a["content"] for _, a in page.tags if "http-equiv" in a)
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    places = [a[name] or "" for _, a in page.tags for name in ("src", "href") if name in a]
    assert all(place.startswith(("data:", "#")) for place in places)


def test_the_comparison_is_of_this_run_over_the_other(
    written: Path, runs: tuple[Path, Path]
) -> None:
    record = json.loads((written / "report.json").read_text(encoding="utf-8"))
    assert (record["model"], record["against"]) == ("nano", "nano before")
    found = {b["benchmark"]: b["comparison"] for b in record["benchmarks"]}
    first, second = ({r.scores.benchmark: r.scored for r in gather(runs[k])} for k in (1, 0))
    expected = compare(SCORERS["pairs"], first["MME"], second["MME"])
    assert found["MME"]["differences"][0]["low"] == expected.differences[0].low
    assert expected.differences[0].value > 0
    assert found["MME"]["only_second"] == expected.only_second
    assert signed(expected.differences[0].value) in (written / "report.md").read_text()


def test_the_same_folder_gives_the_same_files(written: Path, runs: tuple[Path, Path]) -> None:
    before = {path.name: path.read_bytes() for path in written.glob("report.*")}
    write_report(*runs, scorer_of, items_of)
    assert before == {path.name: path.read_bytes() for path in written.glob("report.*")}
    assert set(before) == {"report.md", "report.json", "report.html"}
    assert not [data for data in before.values() if str(written.parent).encode() in data]


def test_without_data_and_without_another_run(runs: tuple[Path, Path]) -> None:
    summary = write_report(runs[1])
    assert summary.other is None
    page = Reading((runs[1] / "report.html").read_text(encoding="utf-8"))
    assert "img" not in [tag for tag, _ in page.tags]
    assert "Which colour has the spot in picture 1?" in page.text


def test_what_was_written_and_why_nothing_was(written: Path) -> None:
    page = Reading((written / "report.html").read_text(encoding="utf-8"))
    assert "<think>I see it.</think>" in page.text
    assert "none: the picture cannot be opened" in page.text


def test_the_command(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    data = write_tables(runs[0].parent / "data")
    with pytest.raises(SystemExit) as stop:
        main(["report", str(runs[0]), "--against", str(runs[1]), "--data", str(data)])
    assert not stop.value.code
    assert capsys.readouterr().out.strip() == str(runs[0] / "report.html")
    text = (runs[0] / "report.html").read_text(encoding="utf-8")
    page = Reading(text)
    assert [tag for tag, _ in page.tags].count("img") > 200
    assert "Against nano before" in page.text
    assert json.loads((runs[0] / "report.json").read_text())["benchmarks"][1]["comparison"]


def test_names_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no benchmark 'Chess'"):
        scorer_of_name("strict", "Chess")
    with pytest.raises(ValueError, match="no profile 'lenient': score again by"):
        scorer_of_name("lenient", "MMStar")
    with pytest.raises(ValueError, match=r"MMStar.tsv is not there"):
        items_in(tmp_path)("MMStar")


def result(benchmark: str, percent: float, half: float = 1.0, full: float = 100.0) -> Result:
    scale = full / 100
    value = percent * scale
    figure = Figure(
        "Overall", value, value - half * scale, value + half * scale, value, value, full
    )
    scores = Scores(benchmark, "strict", "1", None, 10, 0, 0, (figure,))
    return Result(scores, (), {"source": {"model": "SAIL", "family": "sail_vl"}})


def card() -> list[Result]:
    """SAIL-VL-1.6-8B as its card has it, MMBench as two benchmarks."""
    percents = tables()[0].percents("SAIL-VL-1.6-8B")
    names = benchmarks_of_columns()
    return [
        result(name, percents[column], full=2800 if name == "MME" else 100)
        for column in AVERAGES["Total average"]
        for name in names[column]
    ]


def test_averages_of_a_run_are_those_of_the_card() -> None:
    found = {one.name: one for one in summarise(card()).averages}
    printed = {"OpenCompass average": 74.26, "Total average": 78.62}
    printed |= {"General QA average": 73.56, "OCR average": 88.11}
    assert {name: round(one.value or 0, 2) for name, one in found.items()} == printed
    average = found["OCR average"]
    assert average.ends == pytest.approx((88.11 - 1 / 6**0.5, 88.11 + 1 / 6**0.5), abs=0.005)
    assert average.published[0] == ("SAIL-VL-1.6-8B", 88.11, "SAIL-VL model card")
    assert "88.11" in markdown(summarise(card()))


def test_an_average_says_what_it_lacks() -> None:
    without = [one for one in card() if one.scores.benchmark not in ("MME", "MMStar")]
    found = {one.name: one for one in summarise(without).averages}
    assert found["General QA average"].value is None
    assert found["General QA average"].missing == ("MMStar", "MME")
    assert "needs MMStar, MME" in render(summarise(without), [])
    assert summarise(card()[:2]).averages == ()


def test_a_run_of_no_known_line_stands_alone() -> None:
    alone = replace(card()[0], run={})
    summary = summarise([alone])
    assert summary.model == "unnamed model"
    assert summary.rows[0].published == ()


def test_samples_are_spread_over_right_and_wrong() -> None:
    scored = [
        replace(one, reply="x") for one in run(items(1000), lambda index: 0 if index < 950 else 1)
    ]
    scored[3] = Scored(scored[3].item, Verdict(0.0, None, resolved=False), "?")
    scored[4] = Scored(scored[4].item, Verdict(0.0, None, resolved=False))
    scored[5] = Scored(scored[5].item, Verdict(0.4), "half")
    shown = choose(replace(result("MMStar", 50), scored=tuple(scored)), 60)
    states = [one.state for one in shown]
    assert len(shown) == 60
    assert [states.count(s) for s in ("unresolved", "missing", "partly right")] == [1, 1, 1]
    assert states.count("right") == 28
    assert states.count("wrong") == 29
    assert [one.scored.item.id for one in shown[:2]] == ["0", "3"]
    assert shown[-1].scored.item.id == "999"


def sample(name: str) -> Sample:
    return Sample("B", "strict", "right", Scored(Item(name, {}), Verdict(1.0), ""))


def test_pictures_are_small_whatever_their_sides() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2000, 2000, 3), dtype=np.uint8)
    media = (Image.new("RGB", (4000, 200)), Image.new("RGB", (2, 2)), noise)
    clip = [Image.new("RGB", (64, 48), (x, x, x)) for x in range(0, 200, 10)]
    samples = [
        Sample("B", "strict", "right", Scored(Item(name, {}), Verdict(1), "")) for name in "abc"
    ]

    def items_of(benchmark: str) -> list[Item]:
        assert benchmark == "B"
        return [Item("a", {}, media), Item("b", {}, (clip,)), Item("c", {}, (media[1],) * 9)]

    shown = with_pictures(samples, items_of)
    assert [len(one.pictures) for one in shown] == [3, 4, 4]
    assert shown[2].problem == "and 5 more"
    assert all(len(uri) < 1.5 * PICTURE_BYTES for one in shown for uri in one.pictures[:2])


def test_a_page_holds_no_more_pictures_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("valley.evaluate.report.samples.BYTES", 2000)
    samples = [
        Sample("B", "strict", "right", Scored(Item(f"{n}", {}), Verdict(1), "")) for n in range(9)
    ]
    picture = (Image.new("RGB", (20, 20)),)
    shown = with_pictures(samples, lambda name: [Item(f"{n}", {}, picture) for n in range(9)])
    assert 0 < sum(len(one.pictures) for one in shown) < 9
    assert "no more pictures" in shown[-1].problem


def test_folders_that_are_no_runs_are_refused(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        gather(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no scores"):
        gather(tmp_path)
    with pytest.raises(ValueError, match="share no benchmark"):
        summarise([result("MMStar", 1)], [result("MME", 1)], scorer_of)
    broken = make_run(tmp_path / "broken")
    (broken / "MME" / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json is no JSON"):
        gather(broken)
    (broken / "MME" / "run.json").unlink()
    assert gather(broken)[0].settings == {}


def test_settings_are_lines_of_text() -> None:
    long = Result(result("MMStar", 1).scores, (), {"a": {"b": [1, 2], "c": None}, "d": "x" * 999})
    assert list(long.settings) == ["a.b", "d"]
    assert long.settings["a.b"] == "[1, 2]"
    assert len(long.settings["d"]) < 500


def test_rows_have_a_cell_under_each_name() -> None:
    text = markdown(summarise([result("MMStar", 1), result("OCRBench", 1)]))
    for table in text.split("\n\n"):
        if table.startswith("|"):
            assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


def test_foreign_words_are_no_markdown() -> None:
    alone = replace(result("MMStar", 1), run={"source": {"model": "[a](b)|<b>_c_\n# d"}})
    text = markdown(summarise([alone]))
    assert text.startswith(r"# Evaluation of \[a\](b)\|\<b\>\_c\_ \# d" + "\n")


def test_numbers_and_words_as_people_read_them() -> None:
    assert [number(x) for x in (0.66666, 1, 1342.4999, 70.0, 0)] == [
        "0.6667",
        "1",
        "1,342.5",
        "70",
        "0",
    ]
    assert signed(-1.234) == "−1.23"
    assert (chance(0.0001), chance(0.04)) == ("< 0.001", "0.040")
    assert visible("a\x00\x7f\ud800\n") == "a␀␡?\n"
    assert PROFILE.version == "1"
    assert not re.search(r"[\x00-\x08]", visible("".join(map(chr, range(32)))))
