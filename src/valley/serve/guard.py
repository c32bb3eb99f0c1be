"""Who may ask, and how much may be sent: looked at before a body is read.

Plain ASGI around the application, so that nothing gets past it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time

from valley.serve.errors import ApiError, place_of
from valley.serve.exchange import Answer, Application, Body, Message, Receive, Send, too_large
from valley.serve.metrics import Metrics
from valley.serve.rate import Rate
from valley.serve.room import Room
from valley.serve.settings import Settings

logger = logging.getLogger("valley.serve")

#: Open to everybody who reaches the port: whether the server lives, and the page, which holds no
#: data and asks for the key itself.
OPEN = frozenset({"/", "/health", "/ready"})
PAGE_FILES = "/page/"
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?")
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Checks host, origin, key, rate and size; adds security headers; logs a line without payload.

    `routes`: the paths that there are; others share one name in log and metrics.
    """

    def __init__(
        self,
        app: Application,
        settings: Settings,
        metrics: Metrics,
        routes: frozenset[str],
    ) -> None:
        self._app, self._settings, self._metrics, self._routes = app, settings, metrics, routes
        self._keys = [hashlib.sha256(key.encode()).digest() for key in settings.api_keys]
        self._room = Room(settings.max_queue, settings.max_queue_bytes)
        self._rate = Rate(settings.rate_limit) if settings.rate_limit else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            raise RuntimeError("only HTTP is spoken here")
        answer = Answer(send)
        started = time.monotonic()
        try:
            self._check(scope)
            if scope["method"] != "POST":  # no other route reads a body
                await self._app(scope, receive, answer)
                return
            with self._room.place() as place:
                body = Body(receive, answer, self._settings, place)
                await self._app(scope, body, answer)
        except ApiError as error:
            await answer.refuse(error)
        except Exception as error:  # said without its message, which may hold what was sent
            logger.error("%s at %s", type(error).__name__, place_of(error))
            await answer.refuse(ApiError(500, f"the server failed: {type(error).__name__}"))
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            seconds = time.monotonic() - started
            self._metrics.requested(route, answer.status, seconds)
            logger.info("%s %s %d %.3f s", scope["method"], route, answer.status, seconds)

    def _check(self, scope: Message) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_host(headers.get(b"host", ""), headers.get(b"origin"))
        caller = self._caller(scope["path"], headers.get(b"authorization", ""))
        if self._rate is not None and not _is_open(scope["path"]):
            self._rate.count(caller)
        if scope["method"] == "POST":
            kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise ApiError(415, "send the body as Content-Type: application/json")
            length = headers.get(b"content-length", "0")
            if not length.isdecimal() or int(length) > self._settings.max_body:
                raise too_large(self._settings.max_body)

    def _check_host(self, host: str, origin: str | None) -> None:
        """A page of a stranger's may lead its own name to this address (DNS rebinding), or post
        to it: the browser then says so in Host and Origin."""
        name = _host_name(host)
        allowed = {*_HERE, *self._settings.hosts}
        if self._settings.loopback and name not in allowed and "*" not in allowed:
            raise ApiError(403, "the Host header is not one of this server: see --allow-host")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise ApiError(403, "pages of other origins may not ask here")

    def _caller(self, path: str, authorization: str) -> str:
        """A name for whoever holds the key. Every key is compared, each in constant time."""
        if not self._keys or _is_open(path):
            return ""
        scheme, _, key = authorization.partition(" ")
        digest = hashlib.sha256(key.strip().encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            problem = "the API key is missing or wrong: send Authorization: Bearer KEY"
            raise ApiError(401, problem, code="invalid_api_key")
        return digest.hex()


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(PAGE_FILES)


def _host_name(host: str) -> str:
    """The name without the port; "" where it makes no sense."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""
