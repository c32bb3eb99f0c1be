"""What an engine process says while its model is busy, and what that says of it."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import asdict
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from valley.encoding import Encoded
from valley.media.limits import Limits
from valley.model.files import NANO
from valley.serve import engine_process
from valley.serve.engine_process import EngineProcess
from valley.serve.supervisor import Supervisor
from valley.serve.wire import Ask, Frame, events_frame, read
from valley.types import Image, Message, Request, Sampling


class Busy:
    """Takes one turn, which lasts until `go`."""

    context = 100

    def __init__(self) -> None:
        tokenizer = SimpleNamespace(backend_tokenizer=SimpleNamespace(to_str=lambda: "{}"))
        self.processor: Any = SimpleNamespace(
            tokenizer=tokenizer, encode=lambda request: Encoded([], [], [], [], [])
        )
        self.waiting: deque[Any] = deque()
        self.running: list[Any] = []
        self.begun, self.go = Event(), Event()

    @property
    def idle(self) -> bool:
        return not self.waiting

    def turn(self) -> list[dict[str, Any]]:
        self.begun.set()
        self.go.wait(60)
        self.waiting.clear()
        return []

    def drop(self, job: Any) -> None: ...

    def cancel(self, number: int) -> None: ...


def test_a_refusal_does_not_wait_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr(engine_process.os, "_exit", lambda _: ended.set())
    front, engine = socket.socketpair()
    front.settimeout(20)
    heard, busy = front.makefile("rb"), Busy()
    options = {"limits": asdict(Limits()), "directory": str(NANO)}
    process = EngineProcess(engine, engine.makefile("rb"), options, busy)
    Thread(target=process.run, daemon=True).start()

    def ask(number: int, *parts: Any) -> None:
        request = Request((Message.of("user", *parts),))
        front.sendall(Ask(request, Sampling()).frame(number).encode())

    def next_events() -> list[dict[str, Any]]:
        frame: Frame | None = read(heard.read)
        assert frame is not None
        return list(frame.body.get("events", []))

    ask(1, "words")
    assert busy.begun.wait(20)
    ask(2, Image(b"no picture"))
    while not (events := next_events()):
        pass
    assert not busy.go.is_set()
    assert [(event["id"], event["status"]) for event in events] == [(2, 400)]
    busy.go.set()
    heard.close()
    front.close()
    assert ended.wait(20)


@pytest.mark.parametrize(
    ("events", "heard"),
    [
        ([], True),
        ([{"id": 1, "choice": 0, "text": "a", "tokens": 1, "finish": None}], True),
        ([{"id": 1, "failed": "damaged", "status": 400}], False),
    ],
)
def test_a_refusal_is_no_sign_of_life_of_the_model(
    events: list[dict[str, Any]], heard: bool
) -> None:
    supervisor = Supervisor("never started", {}, lambda _: None, 1.0)
    supervisor._hand_out(events_frame(events, 1, 0))
    assert (supervisor._heard > 0) == heard
