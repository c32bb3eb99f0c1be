"""An engine process without a model, which says what it is told to say.

By the last words of a request: `say: TEXT` is said in pieces of three characters, `forever` goes on
until it is cancelled, `die` ends the process after a piece, `hang` stops all it does after one,
`refuse` is refused. Media are read by nobody.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, sleep

from valley.serve.wire import Ask, Frame, events_frame, read

CONTEXT = 4096


class Echo:
    def __init__(self, channel: socket.socket) -> None:
        self.channel, self.lock = channel, Lock()
        self.endless: dict[int, Event] = {}

    def tell(self, *events: dict) -> None:
        with self.lock:
            self.channel.sendall(events_frame(events, len(self.endless), 0).encode())

    def piece(self, number: int, text: str, count: int, finish=None, choice=0) -> dict:
        return {"id": number, "choice": choice, "text": text, "tokens": count, "finish": finish}

    def answer(self, number: int, ask: Ask) -> None:
        words = ask.request.messages[-1].text
        if words == "refuse":
            self.tell({"id": number, "failed": "the picture is damaged", "status": 400})
            return
        self.tell({"id": number, "started": 0.25})
        if words == "die":
            self.tell(self.piece(number, "I ", 1))
            os._exit(1)
        if words == "hang":
            self.tell(self.piece(number, "I ", 1))
            sleep(3600)
        if words == "forever":
            self.endless[number] = Event()
            Thread(target=self.go_on, args=(number,), daemon=True).start()
            return
        for choice in range(ask.choices):
            self.say(number, choice, words.removeprefix("say: "))

    def say(self, number: int, choice: int, text: str) -> None:
        pieces = [text[i : i + 3] for i in range(0, len(text), 3)] or [""]
        for count, piece in enumerate(pieces, 1):
            finish = "stop" if count == len(pieces) else None
            self.tell(self.piece(number, piece, count, finish, choice))

    def go_on(self, number: int) -> None:
        count, started = 0, monotonic()
        while not self.endless[number].wait(0.01) and monotonic() - started < 60:
            count += 1
            self.tell(self.piece(number, "on ", count))
        del self.endless[number]
        self.tell()

    def run(self) -> None:
        with self.channel.makefile("rb") as file:
            load = read(file.read)
            if load is None:
                return
            tokenizer = (Path(load.body["directory"]) / "tokenizer.json").read_bytes()
            ready = Frame({"kind": "ready", "context": CONTEXT}, (tokenizer,))
            self.channel.sendall(ready.encode())
            while frame := read(file.read):
                number = frame.body["id"]
                if frame.body["kind"] == "ask":
                    self.answer(number, Ask.of(frame))
                elif number in self.endless:
                    self.endless[number].set()


if __name__ == "__main__":
    Echo(socket.socket(fileno=int(sys.argv[1]))).run()
