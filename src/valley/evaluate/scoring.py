"""What `valley score` does: replies of a run, or predictions from elsewhere, scored."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valley.data.reading import rows
from valley.evaluate.benchmarks import Benchmark, benchmark_of
from valley.evaluate.items import Answer, Item, Judge, Scored, Scores
from valley.evaluate.profiles import profile as profile_of
from valley.evaluate.prompts import prompts_of
from valley.evaluate.rows import MAX_CELL
from valley.evaluate.scores import score, write_scores
from valley.evaluate.store import RECORD, REPLIES, read_answers
from valley.evaluate.tables import read_table
from valley.model.files import read_json

#: The profile that scores what published code makes of a reply.
PUBLISHED = "vlmevalkit"


@dataclass(frozen=True)
class Predictions:
    """Replies to a benchmark. `record`: run.json of the run that made them, {} where none did."""

    answers: Sequence[Answer]
    record: Mapping[str, Any]


def score_file(
    file: Path,
    name: str,
    profile: str,
    data: Path | None = None,
    judge: Judge | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Scores, list[Scored]]:
    """Score a run's replies.jsonl, or a TSV, CSV or JSON Lines file of `index` and `prediction`.

    `data`: the folder of the table, by default where the run had it. The scores of a run are
    written beside its replies. Raises ValueError for files that do not fit one another.
    """
    benchmark, chosen = benchmark_of(name), profile_of(profile)
    predictions = read_predictions(file)
    record = predictions.record
    if record and record["benchmark"] != benchmark.name:
        raise ValueError(f"{file} answers {record['benchmark']}, not {benchmark.name}")
    items = chosen.read(_items(benchmark, record, data, say))[: record.get("asked")]
    answers = predictions.answers
    if known := {item.id for item in items}:
        foreign = [answer.id for answer in answers if answer.id not in known]
        if len(foreign) == len(answers):
            raise ValueError(f"{file} answers no row of {benchmark.file}: is the index the same?")
    if record and chosen.name == PUBLISHED:
        answers = _as_published(answers, benchmark, record)
    scores, scored = score(benchmark, items, answers, chosen, judge)
    if record:
        write_scores(file.parent, scores, scored)
    return scores, scored


def read_predictions(file: Path) -> Predictions:
    """Raises ValueError for a file without an index and a prediction in each row."""
    if not file.is_file():
        raise ValueError(f"there is no {file}: give replies.jsonl of a run, or predictions")
    if record := read_json(file.with_name(RECORD)) if file.name == REPLIES else {}:
        return Predictions(list(read_answers(file).values()), record)
    csv.field_size_limit(MAX_CELL)
    answers = [_prediction(place, raw) for place, raw in rows(file)]
    if not any(answer.text for answer in answers):
        raise ValueError(f"{file}: no row has a `prediction`")
    return Predictions(answers, {})


def table_of(scores: Scores) -> Iterator[str]:
    """The figures for a terminal, a line each, and what is open about them."""
    judge = scores.judge or "rules alone"
    yield f"{scores.benchmark}, profile {scores.profile} {scores.version}, judged by {judge}"
    yield f"{scores.samples} samples, {scores.missing} missing, {scores.unresolved} unresolved"
    for figure in scores.figures:
        yield f"{figure.name:40} {figure.value:8.2f}  {figure.low:.2f} to {figure.high:.2f}"
        if figure.least != figure.most:
            yield f"{'':40} {'':8}  {figure.least:.2f} to {figure.most:.2f} with all that is open"


def _items(
    benchmark: Benchmark,
    record: Mapping[str, Any],
    data: Path | None,
    say: Callable[[str], None],
) -> list[Item]:
    """The rows of the table, as they were asked."""
    if data is None and not record:
        raise ValueError("name the folder of the tables with --data")
    path = data / benchmark.file if data else Path(record["table"]["path"])
    table = read_table(path, benchmark)
    if record and table.sha256 != record["table"]["sha256"]:
        say(f"{path} is not the file that the run had: its SHA-256 differs")
    if table.skipped.total:
        say(f"{path}: rows left out: {table.skipped}")
    items = list(table.items)
    return prompts_of(record["prompts"]["name"]).read(items) if record else items


def _as_published(
    answers: Sequence[Answer], benchmark: Benchmark, record: Mapping[str, Any]
) -> list[Answer]:
    prompts = prompts_of(record["prompts"]["name"])
    return [
        replace(answer, text=prompts.published_reply(benchmark, answer.raw)) for answer in answers
    ]


def _prediction(place: str, raw: bytes | Mapping[str, Any]) -> Answer:
    try:
        row = json.loads(raw) if isinstance(raw, bytes) else raw
        index = row["index"] if "index" in row else row["id"]
        text = row.get("prediction") or ""
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{place}: a row needs `index` and `prediction`") from None
    text = str(text)
    return Answer(str(index), "", text, text)
