"""The report as Markdown: the tables of the page, without plots and samples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from valley.evaluate.published import Published
from valley.evaluate.report.summary import Average, Row, Summary
from valley.evaluate.report.wording import chance, number, percent, signed, span, visible


def markdown(summary: Summary) -> str:
    """The report."""
    parts = [f"# Evaluation of {_cell(summary.model)}", _benchmarks(summary.rows)]
    if summary.averages:
        parts += ["## Averages", _averages(summary.averages)]
    if summary.other:
        parts += [f"## Against {_cell(summary.other)}", _comparisons(summary.rows)]
    parts += [part for row in summary.rows for part in _details(row)]
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    """Foreign words as plain text of one cell: no markup, links or tags."""
    text = " ".join(visible(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", text)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _own(found: Sequence[Published]) -> str:
    return "<br>".join(f"{percent(o.percent)} ({o.model}, {o.table.name})" for o in found) or "–"


def _benchmarks(rows: Sequence[Row]) -> str:
    head = (
        "benchmark",
        "score, %",
        "95 % interval",
        "as published",
        "items",
        "missing",
        "unresolved",
        "bounds",
        "scored by",
        "asked with",
    )
    return "\n\n".join(
        (
            _table(head, map(_benchmark, rows)),
            "Scores are in percent of the best possible. Bounds: the score if every reply that is "
            "missing, or that no rule could read, were wrong, or right.",
        )
    )


def _benchmark(row: Row) -> Sequence[str]:
    scores = row.result.scores
    return (
        _cell(scores.benchmark),
        f"**{percent(row.main.percent)}**",
        span(row.main),
        _own(row.own),
        f"{scores.samples:,}",
        f"{scores.missing:,}",
        f"{scores.unresolved:,}",
        span(row.main, "least", "most"),
        f"{scores.profile} {scores.version}, {_cell(scores.judge or 'rules alone')}",
        _cell("; ".join(filter(None, row.result.asked_with))) or "–",
    )


def _averages(averages: Sequence[Average]) -> str:
    return _table(
        ("average", "value", "95 % interval", "as published", "profile"), map(_average, averages)
    )


def _average(one: Average) -> Sequence[str]:
    return (
        one.name,
        f"needs {', '.join(one.missing)}" if one.value is None else f"**{percent(one.value)}**",
        " – ".join(map(percent, one.ends)) if one.ends else "–",
        "<br>".join(f"{percent(v)} ({m}, {t})" for m, v, t in one.published) or "–",
        one.profile,
    )


def _comparisons(rows: Sequence[Row]) -> str:
    head = "benchmark", "profile", "difference", "95 % interval", "chance"
    return _table(
        (*head, "items only this run got right", "only the other", "chance (McNemar)"),
        (
            (
                _cell(row.result.scores.benchmark),
                row.result.scores.profile,
                f"{signed(main.value)} ({number(main.first)} → {number(main.second)})",
                f"{signed(main.low)} … {signed(main.high)}",
                chance(main.chance),
                str(row.comparison.only_second),
                str(row.comparison.only_first),
                chance(row.comparison.chance),
            )
            for row in rows
            if row.comparison
            for main in row.comparison.differences[:1]
        ),
    )


def _details(row: Row) -> Iterator[str]:
    scores = row.result.scores
    yield f"## {_cell(scores.benchmark)}, {scores.profile} {scores.version}"
    yield _table(
        ("figure", "value", "of", "percent", "95 % interval"),
        (
            (_cell(f.name), number(f.value), number(f.full), percent(f.percent), span(f))
            for f in scores.figures
        ),
    )
    if row.result.settings:
        settings = ((_cell(name), _cell(value)) for name, value in row.result.settings.items())
        yield _table(("setting", "value"), settings)
