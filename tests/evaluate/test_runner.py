"""The runner: every reply kept, none asked twice, none taken for another's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluate import crash
from evaluate.engines import Echo, asker
from evaluate.making import digits_table, easy_table
from valley.engine.bulk import AHEAD, MAX_FAILURES
from valley.evaluate import identity
from valley.evaluate.benchmarks import benchmark_of
from valley.evaluate.identity import Source, digest_of_checkpoint
from valley.evaluate.items import Answer, Item
from valley.evaluate.products.making import make
from valley.evaluate.runner import run
from valley.evaluate.store import Store, read_answers
from valley.evaluate.tables import read_table
from valley.model.files import NANO
from valley.types import Reply, Request, Sampling, Usage

POPE = benchmark_of("POPE")
#: `make proof-eval` kills nano.
MODEL = os.environ.get("EVAL_PROOF")


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Item]:
    folder = tmp_path_factory.mktemp("table")
    return read_table(easy_table(folder / POPE.file, 6), POPE).items


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    return tmp_path / "out" / "replies.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.timeout(3000)
def test_killed_ten_times_it_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    easy_table(tmp_path / POPE.file, 40 if MODEL else 12)
    digits_table(tmp_path / "OCRBench.tsv", 200 if MODEL else 40)
    make(tmp_path, size=50 if MODEL else 20)
    files = [tmp_path / benchmark_of(name).file for name in crash.BENCHMARKS]
    rows = sum(len(read_table(file, benchmark_of(file.stem)).items) for file in files)
    command = [sys.executable, crash.__file__, str(tmp_path)]
    tests = Path(crash.__file__).parent.parent
    paths = os.pathsep.join([str(tests), *filter(None, sys.path)])
    done = subprocess.run(
        command + (["--model", MODEL] if MODEL else []),
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed at") == 10
    assert f"equal: {rows} replies" in done.stdout
    assert done.stdout.count("equal: report.") == 3


def test_what_was_answered_is_not_asked_again(items: Sequence[Item], replies: Path) -> None:
    engine = Echo()
    assert run(asker(engine), POPE, items[:10], replies) == 0
    assert run(asker(engine), POPE, items, replies) == 0
    assert engine.asked == len(items) == len(lines(replies))
    answer = read_answers(replies)[items[3].id]
    assert answer.raw == f"<think>x</think>{answer.text}"
    assert (answer.usage, answer.error) == (Usage(3, 2, 1), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": Sampling(max_new_tokens=3)},
        {"source": Source("echo", digest="1" * 64)},
        {"source": Source("echo", digest="0" * 64, dtype="bfloat16")},
        {"source": Source("echo")},
    ],
)
def test_other_circumstances_ask_again(
    items: Sequence[Item], replies: Path, changes: dict[str, Any]
) -> None:
    first, second = Echo(), Echo()
    run(asker(first), POPE, items, replies)
    run(asker(second, **changes), POPE, items, replies)
    assert second.asked == len(items)


def test_a_changed_row_and_a_changed_version_ask_again(
    items: Sequence[Item], replies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Echo()
    run(asker(engine), POPE, items, replies)
    changed = [replace(items[0], cells={**items[0].cells, "question": "Else?"}), *items[1:]]
    swapped = [replace(changed[0], media=items[-1].media), *items[1:]]
    run(asker(engine), POPE, changed, replies)
    run(asker(engine), POPE, swapped, replies)
    assert engine.asked == len(items) + 2
    monkeypatch.setattr(identity.valley, "__version__", "9")
    run(asker(engine), POPE, items, replies)
    assert engine.asked == 2 * len(items) + 2


def test_an_old_answer_never_stands_for_a_new_question(
    items: Sequence[Item], replies: Path
) -> None:
    run(asker(Echo()), POPE, items, replies)

    class Dies(Echo):
        def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asker(Dies(), sampling=Sampling(seed=1)), POPE, items, replies)
    assert all(answer.error for answer in read_answers(replies).values())


def test_broken_items_are_kept_as_errors_and_tried_again(
    items: Sequence[Item], replies: Path, tmp_path: Path
) -> None:
    lost = tmp_path / "lost.png"
    broken = [replace(items[0], id="lost", media=(lost,)), *items[:9]]
    assert run(asker(Echo()), POPE, broken, replies) == 1
    assert run(asker(Echo()), POPE, broken, replies) == 1
    assert len(lines(replies)) == 10
    assert "No such file" in str(read_answers(replies)["lost"].error)
    lost.write_bytes(b"no picture")
    assert run(asker(Echo()), POPE, broken, replies) == 1
    assert "of an unknown format" in str(read_answers(replies)["lost"].error)
    lost.write_bytes(items[0].media[0].read_bytes())
    assert run(asker(Echo()), POPE, broken, replies) == 0
    assert read_answers(replies)["lost"].text == read_answers(replies)[items[0].id].text


class Chokes(Echo):
    """Fails on whole windows that hold certain words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def reply(self, request: Request) -> Reply:
        if self.words in request.messages[-1].text:
            raise ValueError(f"cannot take {self.words!r}")
        return super().reply(request)


def test_one_request_that_fails_costs_no_other(items: Sequence[Item], replies: Path) -> None:
    bad = [replace(one, cells={**one.cells, "question": "poison"}) for one in items[3:5]]
    run(asker(Echo()), POPE, items, replies)
    expected = read_answers(replies)
    other = replies.with_name("other.jsonl")
    assert run(asker(Chokes("poison")), POPE, [*items[:3], *bad, *items[5:]], other) == 2
    got = read_answers(other)
    assert len(got) == len(items)
    for item in (*items[:3], *items[5:]):
        assert got[item.id].text == expected[item.id].text
    assert got[bad[0].id].error == "cannot take 'poison'"


def test_an_engine_that_is_gone_ends_the_run(items: Sequence[Item], replies: Path) -> None:
    with pytest.raises(RuntimeError, match="in a row failed: cannot take ''"):
        run(asker(Chokes("")), POPE, items, replies)
    assert len(lines(replies)) == MAX_FAILURES


def test_pictures_are_opened_ahead_but_not_all(items: Sequence[Item], replies: Path) -> None:
    opened: list[Request] = []
    held = []

    class Counts(Echo):
        def run(
            self, requests: Iterable[Request], sampling: Sampling = Sampling()
        ) -> Iterator[Reply]:
            for number, request in enumerate(requests):
                held.append(len(opened) - number)
                yield self.reply(request)

    def note(request: Request) -> Request:
        opened.append(request)
        return request

    many = [replace(items[i % 9], id=str(i)) for i in range(60)]
    run(replace(asker(Counts()), open=note), POPE, many, replies)
    assert len(opened) == 60
    assert max(held) <= AHEAD + 1


def test_an_interruption_keeps_what_was_answered(items: Sequence[Item], replies: Path) -> None:
    class Interrupted(Echo):
        def reply(self, request: Request) -> Reply:
            if self.asked > 8:
                os.kill(os.getpid(), signal.SIGINT)
            return super().reply(request)

    # A shell's background jobs ignore the signal, and so would tests that run in one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(asker(Interrupted()), POPE, items, replies)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 8 <= len(read_answers(replies)) <= 9


def test_a_torn_line_is_passed_over_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    one, two = Answer("1", "k", text="é\n\ud800"), Answer("2", "k", text="b")
    with Store(path) as store:
        store.append(one)
        store.append(two)
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with Store(path) as store:
            store.append(Answer("3", "k"))
        found = read_answers(path)
        assert found["3"] == Answer("3", "k")
        assert ("2" in found) == (end >= len(data) - 1)
        assert ("1" in found) == (end >= data.index(b"\n"))


def test_the_last_line_of_an_item_counts(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    with Store(path) as store:
        for text in ("a", "b"):
            store.append(Answer("1", "k", text=text))
    path.write_bytes(path.read_bytes() + b'{"id": 3}\n[]\n\xff\n')
    assert read_answers(path)["1"].text == "b"
    assert read_answers(tmp_path / "none.jsonl") == {}


def test_the_digest_of_a_checkpoint_follows_its_files(tmp_path: Path) -> None:
    for file in NANO.iterdir():
        if file.suffix in (".json", ".safetensors", ".txt"):
            (tmp_path / file.name).symlink_to(file)
    assert digest_of_checkpoint(tmp_path) == digest_of_checkpoint(NANO)
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    assert digest_of_checkpoint(tmp_path) != digest_of_checkpoint(NANO)
