"""Hostile text: nothing freezes, crashes or outlives the caller."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.mathematics import Checker, Comparison, Limits, checking, each, same_numbers, shared

FAST = Limits(seconds=1.0)
BOMB = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(limits=FAST) as checker:
        yield checker


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be read does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int, seconds: float = 30) -> bool:
    limit = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < limit:
        threading.Event().wait(0.05)
    return not alive(pid)


def child_of(checker: Checker) -> int:
    process = checker._children[0].process
    assert process is not None
    return process.pid


@pytest.mark.parametrize(
    "bomb",
    [
        BOMB,
        "(10^9)!",
        "10^{10^{10}}",
        "\\sum_{n=1}^{10^{12}} \\frac{1}{n^n}",
        "x" * 900,
        "\\frac{1}{" * 15 + "x" + "}" * 15,
    ],
)
def test_what_takes_too_long_is_wrong_and_the_next_is_right(bomb: str, checker: Checker) -> None:
    killed = checker.killed
    assert not checker.same(bomb, "5")
    assert checker.killed <= killed + 1
    assert checker.same("1/2", "0.5")


def test_a_power_tower_is_killed_and_counted(checker: Checker) -> None:
    killed = checker.killed
    assert not checker.same(BOMB, "5")
    assert checker.killed == killed + 1
    assert checker.same(BOMB, BOMB)  # equal text needs no arithmetic
    assert checker.killed == killed + 1


@pytest.mark.parametrize(
    "text", ["9" * 1_000_000, "(" * 500 + "1" + ")" * 500, "{" * 17, "[({" * 6, "\\sqrt{" * 150]
)
def test_too_long_or_too_deep_is_refused_beforehand(text: str, checker: Checker) -> None:
    refused, child = checker.refused, checker._children[0].process
    assert not checker.same(text, "5")
    assert checker.refused == refused + 1
    assert checker._children[0].process is child


def test_a_truth_too_long_is_an_error(checker: Checker) -> None:
    with pytest.raises(ValueError, match="2000 characters"):
        checker.same("5", "5" * 2000)


@settings(max_examples=30)
@given(st.text(alphabet="0123456789+-*/^!(){}\\frac sqrt=,.%$xe\x00\ud800é", max_size=30))
def test_any_text_has_a_verdict(text: str) -> None:
    checker = shared()
    assert checker.same(text, "7") in (True, False)
    assert checker.same(text, text) is True


def test_from_threads(checker: Checker) -> None:
    verdicts: dict[int, bool] = {}

    def work(number: int) -> None:
        answer = BOMB if number == 3 else f"{number}/2"
        verdicts[number] = checker.same(answer, f"{number / 2:.1f}000")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert verdicts == {number: number != 3 for number in range(8)}


def test_many_in_order_on_two_workers() -> None:
    with Checker(workers=2, limits=FAST) as checker:
        pairs = [(f"\\frac{{{n}}}{{3}}", f"\\frac{{{n + n % 2}}}{{3}}") for n in range(20)]
        pairs = [*pairs, (BOMB, "5"), *pairs, (BOMB, "5")]
        expected = [n % 2 == 0 for n in range(20)]
        assert checker.same_all(pairs) == [*expected, False, *expected, False]
        assert checker.killed == 1  # equal pairs are computed once
        pids = [child.process.pid for child in checker._children if child.process]
    assert len(pids) == 2
    assert all(map(ends, pids))


def test_each_computes_equal_items_once() -> None:
    asked: list[int] = []

    def double(item: int) -> int:
        asked.append(item)
        return 2 * item

    assert each(double, [3, 1, 3, 2, 1], threads=2) == [6, 2, 6, 4, 2]
    assert sorted(asked) == [1, 2, 3]
    assert each(double, [], threads=1) == []


def test_a_child_that_hangs_without_computing_is_replaced() -> None:
    with Checker(limits=Limits(seconds=0.5)) as checker:
        assert checker.same("5 cm", "5")
        first = child_of(checker)
        os.kill(first, signal.SIGSTOP)
        assert not checker.same("6 cm", "6")
        assert not alive(first)
        assert checker.killed == 1


def test_a_child_that_dies_is_replaced(checker: Checker) -> None:
    assert checker.same("1/2", "0.5")
    os.kill(child_of(checker), signal.SIGKILL)
    assert ends(child_of(checker))
    assert not checker.same("1/2", "0.5")  # the question that found it dead
    assert checker.same("1/2", "0.5")


def test_memory_is_limited_and_a_child_that_keeps_much_is_replaced() -> None:
    with Checker(limits=Limits(seconds=60, memory=110 << 20)) as checker:
        assert checker.same("1/2", "0.5")
        first = child_of(checker)  # even idle it uses more than half of this limit
        assert checker.same("1/3", "2/6")
        assert child_of(checker) != first
        assert checker.killed == 0


def test_a_child_stays_however_large_its_parent_is() -> None:
    large = bytearray(b"x") * (200 << 20)
    with Checker(limits=Limits(seconds=60, memory=300 << 20)) as checker:
        assert checker.same("1/2", "0.5")
        first = child_of(checker)
        assert resource.prlimit(first, resource.RLIMIT_AS)[0] == 300 << 20
        assert not checker.same("2^{1600000000}+1", "5")  # an integer of 200 MB
        assert not checker.same("2^{4000000000}+1", "5")  # and one that has no room
        assert checker.same("1/3", "2/6")
        assert child_of(checker) == first
        assert checker.killed == 0
    assert large[-1] == ord("x")


def test_an_interrupt_leaves_no_late_verdict(checker: Checker) -> None:
    assert checker.same("1/2", "0.5")
    child = checker._children[0]

    class Interrupted:
        """A connection whose reader is interrupted after the question went out."""

        def __init__(self, connection: object) -> None:
            self.connection = connection

        def poll(self, _: float) -> bool:
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> object:
            return getattr(self.connection, name)

    child.ours = Interrupted(child.ours)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        checker.same("1/3", "2/6")
    assert not checker.same("1/3", "0.5")
    assert checker.same("1/4", "2/8")


def test_a_checker_can_be_closed_and_used_again() -> None:
    checker = Checker(limits=FAST)
    assert checker.same("1/2", "0.5")
    pid = child_of(checker)
    checker.close()
    checker.close()
    assert not alive(pid)
    assert checker.same("1/2", "0.5")
    checker.close()


def test_plain_numbers_start_no_child() -> None:
    checker = Checker()
    assert checker.same("5", "5.0")
    assert not checker.same("5", "6")
    assert checker._children[0].process is None


def _in_a_fork(checker: Checker, queue: multiprocessing.SimpleQueue) -> None:  # type: ignore[type-arg]
    queue.put([checker.same("1/2", "0.5"), checker.same("1/2", "0.25"), child_of(checker)])
    checker.close()


def test_a_forked_process_has_children_of_its_own() -> None:
    context = multiprocessing.get_context("fork")
    with Checker(limits=FAST) as checker:
        assert checker.same("1/2", "0.5")
        own = child_of(checker)
        queue = context.SimpleQueue()
        process = context.Process(target=_in_a_fork, args=(checker, queue))
        process.start()
        right, wrong, other = queue.get()
        process.join(60)
        assert (right, wrong) == (True, False)
        assert other != own
        assert child_of(checker) == own
        assert alive(own)
        assert checker.same("1/3", "2/6")


PROGRAM = """
import sys, threading
from valley.mathematics import Checker, Limits
checker = Checker(limits=Limits(seconds=float(sys.argv[1])))
checker.same("1/2", "0.5")
print(checker._children[0].process.pid, flush=True)
if sys.argv[2] == "busy":
    checker.same("9^{9^{9^{9}}}", "5")
elif sys.argv[2] == "idle":
    threading.Event().wait()
"""


def started(seconds: float, then: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(seconds), then], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_children_end_with_their_process() -> None:
    process, child = started(5, "exit")
    assert process.wait(60) == 0
    assert ends(child)


@pytest.mark.parametrize("then", ["idle", "busy"])
def test_children_end_after_their_process_was_killed(then: str) -> None:
    process, child = started(2, then)
    assert alive(child)
    process.kill()
    process.wait()
    assert ends(child, seconds=120)


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install"):
        Checker()


def test_a_child_that_does_not_start_is_an_error() -> None:
    absent = Checker(comparison=Comparison("absent.py", same_numbers))
    with pytest.raises(RuntimeError, match="did not start"), absent as checker:
        checker.same("1/2", "0.5")


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Checker(workers=0)
