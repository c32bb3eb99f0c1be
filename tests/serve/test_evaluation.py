"""`valley eval --url` of the generated benchmark, asked of a running server."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluate.test_command import valley
from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.products.making import FILES, make
from valley.evaluate.store import REPLIES, read_answers
from valley.evaluate.tables import read_table

from .conftest import Server

#: One question of each task and way.
SIZE = 25


def test_a_server_answers_as_the_model_it_serves(
    nano: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, SIZE)
    tables = [benchmark_of(Path(file).stem) for file in FILES.values()]
    names = [word for benchmark in tables for word in ("-b", benchmark.name)]
    asked = ("eval", *names, "--data", tmp_path, "--max-new-tokens", 12)
    served, loaded = tmp_path / "served", tmp_path / "loaded"
    assert valley(*asked, "--url", f"{nano.url}/v1", "--out", served) == 0
    assert "Products_Rank is left out" in capsys.readouterr().err
    assert valley(*asked, "--model", "nano", "--out", loaded) == 0
    for benchmark in tables:
        over, here = (read_answers(out / benchmark.name / REPLIES) for out in (served, loaded))
        items = read_table(tmp_path / benchmark.file, benchmark).items
        assert len(here) == len(items)
        if benchmark.ranks:
            assert over == {}
            continue
        assert over.keys() == here.keys()
        assert not any(answer.error for answer in over.values())
        for item in items:
            if item.cells["media"] != "clip":  # whose frames are sent as pictures
                assert over[item.id].raw == here[item.id].raw
        assert valley("score", served / benchmark.name / REPLIES, "-b", benchmark.name) == 0
