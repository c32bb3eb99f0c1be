"""The generated tables through the runner: clips are clips, rankings are ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from evaluate.engines import Echo, asker
from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.command import Options, askable
from valley.evaluate.products.making import FILES, make
from valley.evaluate.products.questions import Way
from valley.evaluate.products.tasks import CELLS
from valley.evaluate.profiles import PROFILES
from valley.evaluate.prompts import PROMPTS
from valley.evaluate.runner import run
from valley.evaluate.store import read_answers
from valley.evaluate.tables import Table, read_table
from valley.types import Image, Request, Text, Video


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Way, Table]:
    paths = make(tmp_path_factory.mktemp("tables"), size=len(CELLS))
    return {way: read_table(path, benchmark_of(path.stem)) for way, path in paths.items()}


class Liking(Echo):
    """Finds the longest candidate the likeliest."""

    def score(self, request: Request, candidates: Sequence[str]) -> list[float]:
        self.asked += 1
        return [float(len(text)) for text in candidates]


def test_every_row_can_be_asked(tables: Mapping[Way, Table]) -> None:
    assert sum(len(table.items) for table in tables.values()) == len(CELLS)
    assert not any(table.skipped.total for table in tables.values())


@pytest.mark.parametrize("name", ["default", "sail_vl", "valley2_5"])
def test_a_clip_is_one_part_and_the_question_stands_as_it_is(
    tables: Mapping[Way, Table], name: str
) -> None:
    benchmark, who = benchmark_of("Products_Open"), asker(Echo(), prompts=PROMPTS[name])
    keys = set()
    for item in tables["open"].items:
        parts = who.request(benchmark, item).messages[-1].parts
        media = [part for part in parts if not isinstance(part, Text)]
        words = "".join(part.text for part in parts if isinstance(part, Text))
        keys.add(who.key(benchmark, item))
        assert words.strip() == item.question
        if item.cells["media"] == "clip":
            assert [type(part) for part in media] == [Video]
            assert len(media[0].source) == len(item.media) == 8
        else:
            assert {type(part) for part in media} == {Image}
    assert len(keys) == len(tables["open"].items)


def test_options_are_ranked_and_scored(tables: Mapping[Way, Table], tmp_path: Path) -> None:
    benchmark, engine, replies = benchmark_of("Products_Rank"), Liking(), tmp_path / "replies"
    items = tables["rank"].items
    assert run(asker(engine), benchmark, items, replies) == 0
    assert run(asker(engine), benchmark, items, replies) == 0
    assert engine.asked == len(items), "what was ranked is not ranked again"
    for item in items:
        order = read_answers(replies)[item.id].text.split()
        lengths = [len(item.options[letter]) for letter in order]
        assert lengths == sorted(lengths, reverse=True)
        for profile in PROFILES.values():
            verdict = profile.scorers[benchmark.kind].score(item, " ".join(order))
            assert verdict.score == 1 / (order.index(item.answer) + 1)


def test_rankings_are_left_out_over_a_url(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [benchmark_of(Path(file).stem) for file in FILES.values()]
    assert askable(asked, Options(model="nano")) == asked
    assert len(askable(asked, Options(url="https://example.org/v1"))) == 3
    assert "Products_Rank is left out" in capsys.readouterr().err
