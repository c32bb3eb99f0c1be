"""The page of `valley report` in Chromium. Not collected by itself, as it needs the browser:

bash .ci/browser
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.contrast import faint
from browser.devtools import Page
from evaluate.made import HOSTILE, items_of, make_run, scorer_of
from valley.evaluate.report import write_report
from valley.evaluate.report.gathering import gather

SHOWN = "[...document.querySelectorAll('.sample')].filter(one => !one.hidden)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    folder = make_run(out / "this")
    write_report(folder, make_run(out / "other", "nano before", 0.3, 2), scorer_of, items_of)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, run: Path) -> Iterator[Page]:
    """The report as it is opened: quiet in the console, and fetching nothing."""
    browser.show(1280)
    browser.open(run / "report.html")
    yield browser
    assert browser.errors == []
    assert set(browser.requests) == {(run / "report.html").as_uri()}


def place(page: Page) -> str:
    return str(page.run("document.querySelector('output').value"))


def choose(page: Page, name: str, value: str) -> None:
    field = f"document.forms.filter.elements.{name}"
    page.run(
        f"{field}.value = '{value}', {field}.dispatchEvent(new Event('input', {{bubbles: 1}}))"
    )


def test_figures_intervals_replies_and_pictures_are_seen(page: Page, run: Path) -> None:
    text = page.run("document.body.innerText")
    for result in gather(run):
        main = result.scores.figures[0]
        low, high = (main.to_percent(end) for end in (main.low, main.high))
        assert f"{main.percent:.2f}" in text
        assert f"{low:.1f} – {high:.1f}" in text
    assert "Which colour has the spot in picture 1?" in text
    assert page.run(f"{SHOWN}.every(one => one.querySelector('.reply').innerText)")
    pictures = f"{SHOWN}.flatMap(one => [...one.querySelectorAll('img')])"
    page.run(f"{pictures}.forEach(picture => picture.loading = 'eager')")
    page.until(f"{pictures}.every(picture => picture.complete)")
    widths = page.run(f"{pictures}.map(picture => picture.naturalWidth)")
    assert len(widths) == 9  # of ten items, one has no picture that can be opened
    assert set(widths) == {320}
    bars = page.run(
        "[...document.querySelectorAll('#benchmarks .interval')]"
        ".map(bar => bar.getBoundingClientRect().width)"
    )
    assert len(bars) == 4
    assert all(5 < width < 200 for width in bars)


def test_hostile_words_are_words(page: Page) -> None:
    shown = HOSTILE.replace("\x1b", "␛").replace("\x00", "␀")
    assert page.run("document.body.innerText").count(shown) >= 2
    assert page.run("document.querySelectorAll('script, img[src=x]').length") == 1


def test_samples_are_filtered_searched_and_paged_by_keyboard(page: Page) -> None:
    assert place(page) == "1–10 of 240"
    page.press("ArrowRight")
    assert place(page) == "11–20 of 240"
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert place(page) == "1–10 of 240"
    choose(page, "benchmark", "OCRBench strict")
    assert place(page) == "1–10 of 60"
    choose(page, "state", "unresolved")
    assert place(page) == "1–1 of 1"
    assert page.run(f"{SHOWN}[0].innerText.includes('unresolved')")
    choose(page, "state", "")
    page.run("document.forms.filter.elements.words.focus()")
    page.type("97,000 MORE")
    assert place(page) == "1–1 of 1"
    page.press("ArrowRight")
    page.type(" no such words")
    assert place(page) == "none"
    assert page.run("document.getElementById('nothing').checkVisibility()")


def test_a_link_opens_its_figures(page: Page) -> None:
    details = "document.getElementById('figures-4')"
    assert page.run(f"{details}.open") is False
    page.run("document.querySelector('a[href=\"#figures-4\"]').click()")
    page.until(f"{details}.open")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_cut_off_and_all_can_be_read(page: Page, width: int, dark: bool) -> None:
    page.show(width, dark=dark)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert faint(page) == []
