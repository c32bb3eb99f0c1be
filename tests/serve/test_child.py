"""The engine process by itself, over its socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from valley.model.files import NANO
from valley.serve.admission import Admission
from valley.serve.schemas import ChatRequest
from valley.serve.settings import Settings
from valley.serve.wire import Frame, read

from .conftest import question

SETTINGS = Settings(NANO, device="cpu")


@contextmanager
def child() -> Iterator[tuple[socket.socket, BinaryIO]]:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "valley.serve.child", str(theirs.fileno())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment) as process:
        theirs.close()
        with ours, ours.makefile("rb") as file:
            yield ours, file
            ours.shutdown(socket.SHUT_RDWR)
        process.wait(60)


def test_an_engine_that_reads_a_long_prompt_says_that_it_goes_on() -> None:
    with child() as (channel, file):
        channel.sendall(Frame({"kind": "load"} | SETTINGS.engine_options()).encode())
        ready = read(file.read)
        assert ready is not None
        admission = Admission(SETTINGS, ready.blobs[0], ready.body["context"])
        body = question("many words " * 1000, max_tokens=2)
        planned = admission.plan(ChatRequest.model_validate(body))
        assert planned.prompt_tokens > 5 * 512
        channel.sendall(planned.ask.frame(1).encode())
        silent, frame = 0, read(file.read)
        while frame and not any(event.get("finish") for event in frame.body["events"]):
            silent += not frame.body["events"]
            frame = read(file.read)
        assert silent >= 4
