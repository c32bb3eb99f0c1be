"""The side of a child process: questions are answered until it takes too long, or too much."""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

#: Whether an answer says what the truth says, within a tolerance.
Compare: TypeAlias = Callable[[str, str, float], bool]

READY, RIGHT, WRONG, LAST = b"ready", b"1", b"0", b"last"


def serve(compare: Compare, warm: tuple[str, str]) -> None:
    """Answer questions `[answer, truth, tolerance, seconds]` until the other side hangs up. The
    arguments of the program are a connection and the bytes it may use; `warm` is compared first,
    which imports what is needed and fills the parser's tables.

    Says `LAST` after a verdict when much memory is in use: what SymPy keeps would make later
    answers fail that are right.
    """
    connection, memory = Connection(int(sys.argv[1])), int(sys.argv[2])
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, memory)
    compare(*warm, 0.0)
    connection.send_bytes(READY)
    while True:
        try:
            answer, truth, tolerance, seconds = json.loads(connection.recv_bytes())
        except EOFError:
            return
        _end_after(seconds)
        try:
            verdict = RIGHT if compare(answer, truth, tolerance) else WRONG
        except Exception:  # of SymPy or its parser, on text that is no mathematics
            verdict = WRONG
        connection.send_bytes(verdict + (LAST if _address_space() > memory // 2 else b""))


def _address_space() -> int:
    """Bytes in use, 0 where the system does not tell. (The peak of `getrusage` is that of the
    process that started this one, where that was larger.)"""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _end_after(seconds: float) -> None:
    """Have the system end this process after so much more computing, in whole seconds. Time of
    the processor, so that a busy machine makes no right answer wrong."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + seconds))


def _limit(kind: int, amount: int) -> None:
    most = resource.getrlimit(kind)[1]
    soft = amount if most == resource.RLIM_INFINITY else min(amount, most)
    resource.setrlimit(kind, (soft, most))
