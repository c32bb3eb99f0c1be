"""Mathematics on hostile text: a child process computes, and ends when it takes too long.

A power tower (`9^9^9^9`) holds the interpreter's lock: no thread and no signal handler stops it.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from multiprocessing import Pipe
from typing import TypeVar

from valley.mathematics import comparing
from valley.mathematics.comparing import TOLERANCE, same_numbers
from valley.mathematics.serving import LAST, READY, RIGHT

#: Seconds by the clock for each second of computing.
_PATIENCE = 10

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Limits:
    """`seconds` of computing for one comparison, and ten times as many by the clock; `length`:
    characters of the longest text that is compared; `depth`: brackets in brackets, whose parsing
    time grows with every level; `memory`: bytes of a child; `start`: seconds it has to come up.
    """

    seconds: float = 5.0
    length: int = 1_000
    depth: int = 16
    memory: int = 1 << 30
    start: float = 120.0


@dataclass(frozen=True)
class Comparison:
    """What is asked of a child. `program`: the file that ends in a call of `serving.serve`.
    `plain`: the verdict on easy pairs, which start no child, and None for all others.
    """

    program: str
    plain: Callable[[str, str, float], bool | None]


#: Equal as mathematics.
EQUAL = Comparison(comparing.__file__, same_numbers)


class _Child:
    """One child process, started when first asked and again after it had to be killed.

    Used by one thread at a time.
    """

    def __init__(self, program: str, limits: Limits) -> None:
        self.program, self.limits = program, limits
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False

    def start(self) -> None:
        # a program of its own: neither a copy of this process nor its main module comes along
        self.ours, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", self.program, str(theirs.fileno()), str(self.limits.memory)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # an interrupt from the keyboard is for the parent
            )
        self.ready = False

    def ask(self, question: bytes) -> bool | None:
        """The verdict, None if there is none in time or the child died of the question."""
        self._await_start()
        done = False
        try:
            self.ours.send_bytes(question)
            if self.ours.poll(_PATIENCE * self.limits.seconds):
                reply = self.ours.recv_bytes()
                done = not reply.endswith(LAST)
                return reply.startswith(RIGHT)
        except (EOFError, OSError):
            pass
        finally:  # also when interrupted: a late verdict would be taken for that of the next
            if not done:
                self.close()
                self.start()  # comes up while others are asked
        return None

    def _await_start(self) -> None:
        if self.process is None:
            self.start()
        if self.ready:
            return
        try:
            started = self.ours.poll(self.limits.start) and self.ours.recv_bytes()
        except (EOFError, OSError):
            started = False
        if started != READY:
            self.close()
            raise RuntimeError("the process that compares mathematics did not start")
        self.ready = True

    def close(self) -> None:
        if self.process is not None:
            self.ours.close()
            self.process.kill()
            self.process.wait()
        self.process = None


class Checker:
    """Compares mathematics in child processes, from any number of threads.

    `refused` counts answers too long or too deep to be compared, `killed` those that took too long
    or broke their child; all are wrong. Close it or leave it to the end of the process.
    """

    def __init__(
        self, workers: int = 1, limits: Limits = Limits(), comparison: Comparison = EQUAL
    ) -> None:
        if workers < 1:
            raise ValueError(f"a checker needs at least one worker, got {workers}")
        if importlib.util.find_spec("math_verify") is None:
            raise ImportError("comparing mathematics needs math-verify: pip install math-verify")
        self.workers, self.limits, self.comparison = workers, limits, comparison
        self.renew()
        _CHECKERS.add(self)

    def renew(self) -> None:
        """Forget children and counts. A forked process must: they are its parent's."""
        self.refused = self.killed = 0
        self._lock = threading.Lock()
        self._children = [_Child(self.comparison.program, self.limits) for _ in range(self.workers)]
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        for child in self._children:
            self._idle.put(child)

    def same(self, answer: str, truth: str, tolerance: float = TOLERANCE) -> bool:
        """Whether an answer equals the truth. Raises ValueError if the truth is too long."""
        answer, truth = answer.strip(), truth.strip()
        if len(truth) > self.limits.length:
            raise ValueError(
                f"a truth of {len(truth)} characters cannot be compared as mathematics: "
                f"at most {self.limits.length}"
            )
        if answer == truth:
            return True
        if len(answer) > self.limits.length or _depth(answer) > self.limits.depth:
            with self._lock:
                self.refused += 1
            return False
        plain = self.comparison.plain(answer, truth, tolerance)
        return self._ask(answer, truth, tolerance) if plain is None else plain

    def _ask(self, answer: str, truth: str, tolerance: float) -> bool:
        question = json.dumps([answer, truth, tolerance, self.limits.seconds]).encode()
        idle = self._idle
        child = idle.get()
        try:
            verdict = child.ask(question)
        finally:
            idle.put(child)
        if verdict is None:
            with self._lock:
                self.killed += 1
        return bool(verdict)

    def same_all(
        self, pairs: Iterable[tuple[str, str]], tolerance: float = TOLERANCE
    ) -> list[bool]:
        """Verdicts of many (answer, truth), computed by all workers, equal pairs once."""
        return each(lambda pair: self.same(*pair, tolerance), pairs, self.workers)

    def close(self) -> None:
        """End the children. A closed checker starts new ones when it is asked again."""
        for child in self._children:
            child.close()

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _depth(text: str) -> int:
    """How deep brackets stand in brackets."""
    steps = (+1 if letter in "([{" else -1 for letter in text if letter in "()[]{}")
    return max(accumulate(steps), default=0)


def each(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """The function of every item, in order, computed once for equal items."""
    items = list(items)
    distinct = list(dict.fromkeys(items))
    with ThreadPoolExecutor(threads) as pool:
        results = dict(zip(distinct, pool.map(function, distinct), strict=True))
    return [results[item] for item in items]


@cache
def shared() -> Checker:
    """The checker of this process, with one worker."""
    return Checker()


_CHECKERS: weakref.WeakSet[Checker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for checker in list(_CHECKERS):
        checker.close()


def _renew_all() -> None:
    for checker in list(_CHECKERS):
        checker.renew()


os.register_at_fork(after_in_child=_renew_all)
