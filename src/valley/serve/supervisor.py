"""The engine process kept alive, and its events handed to the requests they belong to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from valley.serve.errors import ApiError
from valley.serve.wire import Ask, Frame, receive

logger = logging.getLogger("valley.serve")

#: Seconds before a process that died is started again, doubled each time it does not get ready.
PAUSE, LONGEST_PAUSE = 0.2, 30.0
#: Seconds after which a second process is started, to wait for the end of the first.
SPARE_AFTER = 15.0
#: For glibc's allocator: what threads free of pictures goes back to the system.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**24),
}
Event = dict[str, Any]


class EngineLost(ApiError):
    """The engine process died while it had the request."""

    def __init__(self) -> None:
        problem = "the engine stopped while it had this request: ask again"
        super().__init__(503, problem, code="engine_lost", retry_after=2)


@dataclass(frozen=True)
class Channel:
    """An engine process and the socket to it."""

    process: Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, module: str) -> Channel:
        """Start a process, which reads its orders from the socket whose number it is told."""
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            command = (sys.executable, "-m", module, str(number))
            environment = ALLOCATOR | os.environ
            process = await asyncio.create_subprocess_exec(
                *command, pass_fds=[number], env=environment
            )
        return cls(process, *await asyncio.open_connection(sock=ours))

    async def end(self) -> None:
        """It ends by itself when the socket is closed, unless it is busy."""
        self.writer.close()
        try:
            await asyncio.wait_for(self.process.wait(), 2)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@dataclass
class Asked:
    """An open request: what came for it, and how many replies the engine still owes."""

    owed: int
    queue: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)

    def take(self, event: Event) -> None:
        if "failed" in event:
            self.owed = 0
        self.owed -= event.get("finish") is not None
        self.queue.put_nowait(event)


class Supervisor:
    """Starts `python -m MODULE` and starts it again whenever it ends, or says nothing for
    `stall_seconds` while it has requests.

    `on_ready` is told what each new engine says of itself. `running` and `waiting` are the
    engine's own numbers.
    """

    def __init__(
        self,
        module: str,
        options: dict[str, Any],
        on_ready: Callable[[Frame], None],
        stall_seconds: float,
    ) -> None:
        self._module, self._options, self._on_ready = module, options, on_ready
        self._stall_seconds, self._heard = stall_seconds, 0.0
        self._open: dict[int, Asked] = {}
        self._numbers = 0
        self._channel: Channel | None = None
        self._spare: Channel | None = None
        self._up = asyncio.Event()
        self.starts = self.running = self.waiting = 0

    @property
    def ready(self) -> bool:
        return self._up.is_set()

    @property
    def _busy(self) -> bool:
        """Whether the engine owes a reply. Whoever reads slowly may leave one open that is done."""
        return any(asked.owed > 0 for asked in self._open.values())

    async def wait_ready(self, seconds: float) -> None:
        """Raises ApiError where the engine does not get ready in time."""
        try:
            await asyncio.wait_for(self._up.wait(), seconds)
        except TimeoutError:
            problem = "the engine is starting: ask again soon"
            raise ApiError(503, problem, code="engine_starting", retry_after=5) from None

    async def run(self) -> None:
        """Keep an engine until cancelled. Raises RuntimeError if the first never gets ready."""
        pause = PAUSE
        try:
            while True:
                self.starts += 1
                if await self._live(self._spare or await Channel.to(self._module)):
                    pause = PAUSE
                elif self.starts == 1:
                    raise RuntimeError("the engine did not start: its error stands above")
                logger.error("the engine ended; starting it again in %.1f s", pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if self._spare:
                await self._spare.end()

    async def _live(self, channel: Channel) -> bool:
        """One engine from its start to its end; whether it got ready."""
        self._channel, self._spare, ready = channel, None, False
        tasks: list[asyncio.Task[None]] = []
        try:
            channel.writer.write(Frame({"kind": "load"} | self._options).encode())
            self._on_ready(await receive(channel.reader))
            ready = True
            self._up.set()
            beside = (self._prepare_spare(), self._watch(channel.process))
            tasks += map(asyncio.create_task, beside)
            while True:
                self._hand_out(await receive(channel.reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            return ready
        finally:
            self._up.clear()
            self._lose_all()
            for task in tasks:
                task.cancel()
            await channel.end()

    async def _prepare_spare(self) -> None:
        """A process that has imported all it needs, which takes longer than to load a small
        model, and waits for its order."""
        await asyncio.sleep(SPARE_AFTER)
        self._spare = await Channel.to(self._module)

    async def _watch(self, process: Process) -> None:
        """Kill an engine that hangs: what follows is what follows when one dies."""
        while not self._busy or time.monotonic() - self._heard < self._stall_seconds:
            await asyncio.sleep(min(1.0, self._stall_seconds / 4))
        logger.error("the engine has said nothing for %.0f s: it is ended", self._stall_seconds)
        process.kill()

    def _hand_out(self, frame: Frame) -> None:
        events = frame.body["events"]
        if not events or not all("failed" in event for event in events):
            self._heard = time.monotonic()  # a refusal says nothing of the thread with the model
        self.running, self.waiting = frame.body["running"], frame.body["waiting"]
        for event in events:
            if asked := self._open.get(event["id"]):
                asked.take(event)

    def _lose_all(self) -> None:
        self.running = self.waiting = 0
        for asked in self._open.values():
            asked.owed = 0
            asked.queue.put_nowait(None)

    @asynccontextmanager
    async def asking(self, ask: Ask) -> AsyncIterator[AsyncIterator[Event]]:
        """Send a request and read its events; whoever leaves early gives it up.

        Reading raises ApiError where the engine refuses the request or dies.
        """
        if self._channel is None or not self.ready:
            raise EngineLost
        writer = self._channel.writer
        self._numbers += 1
        number = self._numbers
        if not self._busy:
            self._heard = time.monotonic()
        asked = self._open[number] = Asked(ask.choices)
        try:
            writer.write(ask.frame(number).encode())
            await writer.drain()
            yield self._events(asked.queue, ask.choices)
        except ConnectionError:
            raise EngineLost from None
        finally:
            del self._open[number]
            if not writer.is_closing():
                with contextlib.suppress(ConnectionError):
                    writer.write(Frame({"kind": "cancel", "id": number}).encode())

    async def _events(self, queue: asyncio.Queue[Event | None], left: int) -> AsyncIterator[Event]:
        while left:
            event = await queue.get()
            if event is None:
                raise EngineLost
            if "failed" in event:
                raise ApiError(event["status"], event["failed"])
            left -= event.get("finish") is not None
            yield event
