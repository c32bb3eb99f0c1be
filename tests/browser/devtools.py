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
KEY_NUMBERS = {"Tab": 9, "Enter": 13, "Escape": 27}


class Page:
    """One page. `errors`: what its console and its exceptions said; `requests`: what it fetched,
    data inside it aside."""

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
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Network.enable", maxPostDataSize=1)  # a body in every event is slow

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
        self.visit(path.as_uri())

    def visit(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def show(self, width: int, height: int = 900, dark: bool = False, still: bool = False) -> None:
        """The size of the window, and whether its user prefers dark colours and no motion."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else ""}
        self.call("Emulation.setEmulatedMedia", features=[scheme, motion])

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
        while not self.run(f"!!({condition})"):
            assert time.monotonic() < deadline, f"never true: {condition}"
            self.run("new Promise(requestAnimationFrame)")

    def press(self, key: str, modifiers: int = 0) -> None:
        """`modifiers`: 8 holds the shift key, as the protocol says."""
        number = KEY_NUMBERS.get(key, 0)
        told = {"key": key, "code": key, "modifiers": modifiers, "windowsVirtualKeyCode": number}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **told, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def click(self, selector: str) -> None:
        """The mouse, in the middle of an element."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{found}.scrollIntoView({{block: 'nearest', behavior: 'instant'}})")
        box = self.run(f"{found}.getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def drag(self, kind: str, *files: Path) -> None:
        """Files from outside over the page. `kind`: dragEnter, dragOver, drop or dragCancel."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        self.call("Input.dispatchDragEvent", type=kind, x=200, y=200, data=data)

    def drop(self, *files: Path) -> None:
        for kind in ("dragEnter", "dragOver", "drop"):
            self.drag(kind, *files)

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
