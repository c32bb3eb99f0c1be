"""What a folder of scored benchmarks holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valley.evaluate.items import Answer, Scored, Scores
from valley.evaluate.scores import profiles_in, read_scores
from valley.evaluate.store import RECORD, REPLIES, read_answers

#: A value of run.json longer than this is cut.
LONGEST = 400
#: What a report does not show of run.json: it says nothing to others.
HIDDEN = frozenset({"table.path"})


@dataclass(frozen=True)
class Result:
    """One benchmark scored by one profile. `run`: what its replies were made with. `answers`: the
    replies as they came, by item."""

    scores: Scores
    scored: tuple[Scored, ...]
    run: Mapping[str, Any]
    answers: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.scores.benchmark, self.scores.profile

    @property
    def settings(self) -> dict[str, str]:
        """`run` as lines of text: nested names joined by dots, without what is not set."""
        return {name: text for name, text in _lines("", self.run) if name not in HIDDEN}

    @property
    def model(self) -> str:
        return self.settings.get("source.model", "")

    @property
    def line(self) -> str | None:
        """The line of models, as the families are named; None where it is unknown."""
        return self.settings.get("source.family")

    @property
    def asked_with(self) -> tuple[str, str]:
        """Prompts by name and version, and the budget of pixels, in a few words each."""
        known = self.settings
        prompts = f"{known.get('prompts.name', '')} {known.get('prompts.version', '')}".strip()
        budget = {n.removeprefix("budget."): v for n, v in known.items() if n.startswith("budget.")}
        return prompts, ", ".join(f"{name} {value}" for name, value in budget.items())


def _lines(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _lines(f"{name}.{inner}" if name else str(inner), one)
    elif value not in (None, "", []):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield name, text if len(text) <= LONGEST else text[:LONGEST] + " …"


def gather(folder: Path) -> list[Result]:
    """Every benchmark and profile below a folder, by name. Raises ValueError where there is none
    and for files that cannot be read."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give the --out of `valley eval`")
    results = [
        Result(scores, tuple(scored), _run(place), read_answers(place / REPLIES))
        for place in sorted(path for path in folder.iterdir() if path.is_dir())
        for profile in profiles_in(place)
        for scores, scored in [read_scores(place, profile)]
    ]
    if not results:
        raise ValueError(f"{folder} holds no scores: score the replies with `valley score`")
    return results


def _run(folder: Path) -> Mapping[str, Any]:
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        run = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: run the benchmark again") from error
    return run if isinstance(run, dict) else {}
