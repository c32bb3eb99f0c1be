"""`valley report`: a folder of scored benchmarks as Markdown, JSON and one page of HTML.

`gathering`: what lies in the folder. `summary`: rows, averages and comparisons, which all three
forms show. `samples`: which items are shown, with their pictures. `page`, `markdown`: the forms.
The same folder always gives the same three files: no times, no paths.
"""

from __future__ import annotations

import json
from pathlib import Path

from valley.evaluate.report.gathering import gather
from valley.evaluate.report.markdown import markdown
from valley.evaluate.report.page import render
from valley.evaluate.report.samples import ItemsOf, choose, with_pictures
from valley.evaluate.report.summary import ScorerOf, Summary, summarise
from valley.evaluate.writing import write_whole


def write_report(
    folder: Path,
    against: Path | None = None,
    scorer_of: ScorerOf | None = None,
    items_of: ItemsOf | None = None,
) -> Summary:
    """Write `report.md`, `report.json` and `report.html` into a folder of scored benchmarks.

    `against`: another such folder to compare with, by `scorer_of`. `items_of`: the items with their
    media, for pictures. Raises ValueError for folders that cannot be read.
    """
    results = gather(folder)
    summary = summarise(results, gather(against) if against else (), scorer_of)
    samples = with_pictures([one for result in results for one in choose(result)], items_of)
    record = json.dumps(summary.record(), ensure_ascii=False, indent=1)
    for name, text in (
        ("report.md", markdown(summary)),
        ("report.json", record + "\n"),
        ("report.html", render(summary, samples)),
    ):
        write_whole(folder / name, [text])
    return summary
