"""`valley serve`: listen, say where, answer until told to stop."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

from valley.serve.app import create_app
from valley.serve.exchange import Application
from valley.serve.settings import Settings

#: Seconds that open answers get when the server is told to stop.
LAST_SECONDS = 10


def serve(settings: Settings) -> None:
    """Serve until interrupted. Raises ValueError where the address cannot be had, RuntimeError
    where no engine starts."""
    failures: list[BaseException] = []

    def give_up(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    server = http_server(create_app(settings, give_up))
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("valley.serve").setLevel(logging.INFO)
    listener = listen(settings)
    host, port = listener.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)  # noqa: T201
    with listener:
        server.run(sockets=[listener])
    if failures:
        raise RuntimeError(str(failures[0]))


def http_server(app: Application) -> Any:
    """uvicorn's server; it says nothing of itself and logs nothing that was sent."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS,
        h11_max_incomplete_event_size=65_536,
    )
    return uvicorn.Server(config)


def listen(settings: Settings) -> socket.socket:
    """A socket on the address that the settings name."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ValueError(f"cannot listen on {where} ({error.strerror}): choose another") from None
    return listener
