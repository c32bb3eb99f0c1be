"""Replies scored, and the files that hold the result beside them. No torch.

OUT/<benchmark>/replies.jsonl              the replies, one `Answer` a line
OUT/<benchmark>/run.json                   what they were made with
OUT/<benchmark>/scores.<profile>.json      `Scores`
OUT/<benchmark>/verdicts.<profile>.jsonl   `Scored`, one a line, without the pictures
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from valley.evaluate.items import (
    Answer,
    Item,
    Judge,
    Profile,
    Scored,
    Scorer,
    Scores,
    Unasked,
    Verdict,
)
from valley.evaluate.statistics import figures
from valley.evaluate.writing import write_whole

_SCORES = TypeAdapter(Scores)
_VERDICT = TypeAdapter(Verdict)
#: What an item without a reply is worth: nothing, and anything.
MISSING = Verdict(0.0, None, resolved=False)


class Benchmark(Protocol):
    """What scoring asks of a benchmark: its name and the kind of its scorer."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


def score(
    benchmark: Benchmark,
    items: Iterable[Item],
    answers: Iterable[Answer],
    profile: Profile,
    judge: Judge | None = None,
) -> tuple[Scores, list[Scored]]:
    """The figures of a benchmark and the verdict on each item, in the order of the items.

    Of several answers to an item the last counts. An item without an answer, or whose answer is an
    error, is missing: counted, worth nothing, and open in the bounds of the figures. Raises
    ValueError for a kind that the profile cannot score and for a benchmark without items.
    """
    if benchmark.kind not in profile.scorers:
        raise ValueError(
            f"profile {profile.name} scores no {benchmark.kind!r}: it has "
            + ", ".join(sorted(profile.scorers))
        )
    scorer = profile.scorers[benchmark.kind]
    last = {answer.id: answer for answer in answers}
    items = profile.read(list(items))
    if not items:
        raise ValueError(f"{benchmark.name} has no items: there is nothing to score")
    replied = [item for item in items if item.id in last and last[item.id].error is None]
    replies = profile.prepare([last[item.id].text for item in replied])
    found = _verdicts(scorer, list(zip(replied, replies, strict=True)), judge)
    scored = [found.get(item.id, Scored(item, MISSING)) for item in items]
    return Scores(
        benchmark=benchmark.name,
        profile=profile.name,
        version=profile.version,
        judge=None if judge is None else _identity(judge),
        samples=len(items),
        missing=len(items) - len(replied),
        unresolved=sum(not one.verdict.resolved for one in found.values()),
        figures=figures(scorer, scored),
    ), scored


def _verdicts(
    scorer: Scorer, pairs: Sequence[tuple[Item, str]], judge: Judge | None
) -> dict[str, Scored]:
    """The items with replies, scored, by id. What a judge was not asked yet it is asked of all of
    them together; then they are scored again, until no question is left."""
    found: dict[str, Scored] = {}
    while pairs:
        left, asked = [], []
        for item, reply in pairs:
            try:
                found[item.id] = Scored(item, scorer.score(item, reply, judge), reply)
            except Unasked as unasked:
                left.append((item, reply))
                asked.append(unasked)
        if asked:
            asked[0].ask([unasked.question for unasked in asked])
        pairs = left
    return found


def _identity(judge: Judge) -> str:
    """What a judge calls itself."""
    return str(getattr(judge, "id", None) or getattr(judge, "__name__", type(judge).__name__))


def write_scores(folder: Path, scores: Scores, scored: Sequence[Scored]) -> None:
    """Write both files of a profile. Each appears when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(_record(one), ensure_ascii=False) + "\n" for one in scored)
    write_whole(folder / f"verdicts.{scores.profile}.jsonl", lines)
    write_whole(
        folder / f"scores.{scores.profile}.json", [_SCORES.dump_json(scores, indent=1).decode()]
    )


def _record(one: Scored) -> dict[str, object]:
    return {
        "id": one.item.id,
        **_VERDICT.dump_python(one.verdict),
        "reply": one.reply,
        "cells": dict(one.item.cells),
    }


def profiles_in(folder: Path) -> list[str]:
    """The profiles that a folder of one benchmark was scored by, in alphabetical order."""
    return sorted(
        path.name.split(".", 1)[1][: -len(".json")] for path in folder.glob("scores.*.json")
    )


def read_scores(folder: Path, profile: str) -> tuple[Scores, list[Scored]]:
    """What `write_scores` wrote; the items have no media. Raises ValueError for a broken file."""
    path = folder / f"scores.{profile}.json"
    try:
        scores = _SCORES.validate_json(path.read_bytes())
        path = folder / f"verdicts.{profile}.jsonl"
        with path.open(encoding="utf-8") as file:
            return scores, [_scored(line) for line in file]
    except FileNotFoundError as error:
        raise ValueError(f"{path} is not there: score the run with `valley score`") from error
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: score the run again") from error


def _scored(line: str) -> Scored:
    record = json.loads(line)
    item, reply = Item(record.pop("id"), record.pop("cells")), record.pop("reply")
    return Scored(item, _VERDICT.validate_python(record), reply)
