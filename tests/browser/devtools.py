"""Debian's Chromium, driven by its DevTools protocol over a pipe: no port, no other package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # which a container without user namespaces cannot have
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0


class Page:
    """One page. `errors`: what its console and its exceptions said. `requests`: what it fetched,
    but for data inside it."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium")
        assert program, "these tests need chromium: bash .ci/browser installs it"
        command = program, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"
        (theirs, self._to), (self._from, back) = os.pipe(), os.pipe()
        # Away from 3 and 4, the files at which the browser expects its end of the pipes.
        read, write = (fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (theirs, back))
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "bash", *command],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in (theirs, back, read, write):
            os.close(number)
        self._number, self._unread, self._session = 0, b"", ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        (target,) = (
            info["targetId"]
            for info in self.call("Target.getTargets")["targetInfos"]
            if info["type"] == "page"
        )
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.kill()
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
        raise AssertionError(f"the browser closed during {method}")

    def open(self, path: Path) -> None:
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState == 'complete' && location.protocol == 'file:'")

    def show(self, width: int, height: int = 900, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for an expression to be true."""
        deadline = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < deadline, f"never true: {condition}"

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def photograph(self, target: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        target.write_bytes(base64.b64decode(data))

    def _messages(self) -> Iterator[dict[str, Any]]:
        """What the browser says, with its events noted on the way."""
        while True:
            while b"\0" not in self._unread:
                piece = os.read(self._from, 2**16)
                if not piece:
                    return
                self._unread += piece
            raw, _, self._unread = self._unread.partition(b"\0")
            message = json.loads(raw)
            self._note(message.get("method", ""), message.get("params", {}))
            yield message

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            url = event["request"]["url"]
            self.requests += [] if url.startswith("data:") else [url]
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(event["exceptionDetails"]))
        elif (method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning")) or (
            method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert")
        ):
            self.errors.append(json.dumps(event))
