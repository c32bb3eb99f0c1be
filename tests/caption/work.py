"""A run in a process of its own, for whoever kills it: python tests/caption/work.py FOLDER OUT

A function of the request answers after some milliseconds of work; to every third request its first
two replies are cut off.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from caption.engines import Scripted, examiner, good
from evaluate.engines import said
from valley.caption.products import Input
from valley.caption.running import run
from valley.model.files import NANO
from valley.planning import Planner
from valley.types import Reply, Request


def slow(request: Request, retry: int) -> Reply:
    hashlib.pbkdf2_hmac("sha256", said(request).encode(), b"", 6_000)
    if int(said(request), 16) % 3 == 0 and retry < 2:
        return Reply("{", raw="{", finish_reason="length")
    return good(request, retry)


if __name__ == "__main__":
    run(examiner(Planner.of(NANO), Scripted(slow)), Input([Path(sys.argv[1])]), Path(sys.argv[2]))
