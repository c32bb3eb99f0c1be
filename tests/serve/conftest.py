"""Running servers: with an engine that only says what it is told to, and with the real one."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2 as httpx
import pytest

from valley.model.files import NANO
from valley.serve import settings as settings_module
from valley.serve.app import create_app
from valley.serve.run import http_server, listen
from valley.serve.settings import Settings

MEDIA = Path(__file__).parents[2] / "examples" / "media"
TESTS = str(Path(__file__).parents[1])


@dataclass
class Server:
    """`app`: the application itself, where it runs in this process."""

    url: str
    app: Any = None

    def client(self, key: str | None = None, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)


def question(text: str, *urls: str, **fields: Any) -> dict[str, Any]:
    """The body of a request about pictures."""
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    parts.append({"type": "text", "text": text})
    return {"model": "nano", "messages": [{"role": "user", "content": parts}], **fields}


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true value of `condition`, which is asked again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        select.select([], [], [], 0.02)
    raise AssertionError("it did not come true in time")


@contextmanager
def echo_server(**options: Any) -> Iterator[Server]:
    """A server in a thread of this process, whose engine is `echo_child`."""
    paths = os.pathsep.join([TESTS, *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings_module.ENGINES, "local", "serve.echo_child")
        patch.setenv("PYTHONPATH", paths)
        settings = Settings(NANO, port=0, **options)
        app, listener = create_app(settings), listen(settings)
        server = http_server(app)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            running = Server(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
            with running.client() as client:
                wait_until(lambda: client.get("/ready").status_code == 200)
            yield running
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[..., Server]]:
    """Starts a server with an engine that needs no model; options are those of `Settings`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(echo_server(**options))


@pytest.fixture(scope="module")
def echo(servers: Callable[..., Server]) -> Server:
    return servers()


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    """`valley serve` over nano as its own process."""
    command = [sys.executable, "-m", "valley", "serve", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield server
        server.terminate()


@pytest.fixture(scope="module")
def nano(process: subprocess.Popen[str]) -> Server:
    """The real server, ready."""
    assert process.stdout is not None
    running = Server(process.stdout.readline().strip())
    with running.client() as client:
        wait_until(lambda: client.get("/ready").status_code == 200, 120)
    return running
