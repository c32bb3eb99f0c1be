"""What every engine process does: `python -m MODULE FD`, started by the supervisor.

Its first order says which model to load, so that a process may wait with all modules imported.

The main thread runs the model; one thread reads what the front says, a few open and encode media
and hand the result over, or say at once that it failed. It ends when the front has gone.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, BinaryIO

from valley.encoding import Encoded
from valley.media.limits import Limits
from valley.planning import Planner
from valley.serve.jobs import Event, Job, Scheduling, failed
from valley.serve.preparing import Preparer
from valley.serve.wire import Ask, Frame, events_frame, read
from valley.types import Request


class EngineProcess:
    """One model behind one socket."""

    def __init__(
        self,
        channel: socket.socket,
        file: BinaryIO,
        options: dict[str, Any],
        scheduler: Scheduling,
    ) -> None:
        self._channel, self._file, self._speaking = channel, file, Lock()
        self._limits = Limits(**options["limits"])
        self._planner = Planner.of(options["directory"])
        self.scheduler = scheduler
        self._preparer = Preparer(self._open, self._encode, self._prepared)
        self._newest = -1
        #: What other threads want the main thread to do.
        self._orders: SimpleQueue[Callable[[], list[Event]]] = SimpleQueue()

    def run(self) -> None:
        """Answer for ever."""
        tokenizer = self.scheduler.processor.tokenizer.backend_tokenizer.to_str().encode()
        ready = {"kind": "ready", "context": self.scheduler.context}
        self._channel.sendall(Frame(ready, (tokenizer,)).encode())
        Thread(target=self._listen, daemon=True).start()
        while True:
            self._tell(self._follow_orders())
            self._preparer.keep(self.scheduler.waiting, self._newest)
            events = self.scheduler.turn()
            self._tell(events, busy=bool(self.scheduler.waiting) or not self.scheduler.idle)

    def _follow_orders(self) -> list[Event]:
        """Do what was asked meanwhile; with nothing else to do, wait for it."""
        events: list[Event] = []
        try:
            events += self._orders.get(block=self.scheduler.idle)()
            while True:
                events += self._orders.get(block=False)()
        except Empty:
            return events

    def _tell(self, events: list[Event], busy: bool = False) -> None:
        """Say what happened; whoever is busy says so even where nothing did."""
        if events or busy:
            running, waiting = len(self.scheduler.running), len(self.scheduler.waiting)
            with self._speaking:
                self._channel.sendall(events_frame(events, running, waiting).encode())

    def _listen(self) -> None:
        """Take the front's words as orders; without a front there is nothing left to do."""
        while frame := read(self._file.read):
            number = frame.body["id"]
            if frame.body["kind"] == "ask":
                job = Job(number, Ask.of(frame))
                self._orders.put(lambda job=job: self._submit(job))  # type: ignore[misc]
                self._preparer.add(job)
            else:
                self._orders.put(lambda number=number: self._cancel(number))  # type: ignore[misc]
        os._exit(0)

    def _submit(self, job: Job) -> list[Event]:
        self.scheduler.waiting.append(job)
        self._newest = job.number
        return []

    def _cancel(self, number: int) -> list[Event]:
        self.scheduler.cancel(number)
        return []

    def _open(self, ask: Ask) -> Request:
        return self._planner.open(ask.request, self._limits)

    def _encode(self, ask: Ask, opened: Request) -> Encoded:
        encoded: Encoded = self.scheduler.processor.encode(opened)
        if len(encoded.input_ids) != ask.prompt_tokens:
            raise RuntimeError(f"planned {ask.prompt_tokens} tokens, got {len(encoded.input_ids)}")
        return encoded

    def _prepared(self, job: Job, result: Encoded | Exception) -> None:
        """Called by the threads that open and encode. A refusal does not wait for the model."""

        def order() -> list[Event]:
            if isinstance(result, Exception):
                self.scheduler.drop(job)
            else:
                job.encoded = result
            return []

        self._orders.put(order)
        if isinstance(result, Exception):
            self._tell([failed(job.number, result)])


def main(load: Callable[[dict[str, Any]], Scheduling]) -> None:
    """`load` makes what runs the model, from `Settings.engine_options`."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    file = channel.makefile("rb")
    if order := read(file.read):
        try:
            process = EngineProcess(channel, file, order.body, load(order.body))
        except Exception as error:
            reason = " ".join(str(error).split())[:400]
            sys.exit(f"valley: the model cannot be loaded ({type(error).__name__}): {reason}")
        process.run()
