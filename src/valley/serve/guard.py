"""Who may ask, and how much may be sent: looked at before a body is read.

Plain ASGI around the application, so that nothing gets past it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from valley.serve.errors import ApiError
from valley.serve.metrics import Metrics
from valley.serve.room import Place, Room
from valley.serve.settings import Settings

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

logger = logging.getLogger("valley.serve")

#: Open to everybody who reaches the port: whether the server lives, and the page, which holds no
#: data and asks for the key itself.
OPEN = frozenset({"/", "/health", "/ready"})
PAGE_FILES = "/page/"
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?")
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
}


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
        answer = _Answer(send)
        started = time.monotonic()
        try:
            self._check(scope)
            if scope["method"] != "POST":  # no other route reads a body
                await self._app(scope, receive, answer)
                return
            with self._room.place() as place:
                body = _Body(receive, answer, self._settings, place)
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
                raise _too_large(self._settings.max_body)

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


class Rate:
    """At most so many requests for each caller, such as "600/minute"."""

    def __init__(self, text: str) -> None:
        from limits import parse
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        try:
            self._limit = parse(text)
        except ValueError:
            raise ValueError(f"--rate-limit {text!r}: write it as 600/minute") from None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, caller: str) -> None:
        """Raises ApiError where there were too many."""
        if not self._limiter.hit(self._limit, caller):
            reset = self._limiter.get_window_stats(self._limit, caller).reset_time
            wait = max(1, round(reset - time.time()))
            problem = f"more requests than {self._limit}: ask again in {wait} s"
            raise ApiError(429, problem, code="rate_limit_exceeded", retry_after=wait)


class _Body:
    """`receive` of a body that is not too large and does not take for ever."""

    def __init__(self, receive: Receive, answer: _Answer, settings: Settings, place: Place) -> None:
        self._receive, self._answer, self._place = receive, answer, place
        self._most = settings.max_body
        self._deadline = time.monotonic() + settings.body_seconds
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # what may come now is word that the client has gone
            return await self._receive()
        try:
            left = self._deadline - time.monotonic()
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except TimeoutError:
            raise self._refusal(ApiError(408, "the body did not arrive in time")) from None
        try:
            self._place.hold(len(message.get("body", b"")))
        except ApiError as error:
            raise self._refusal(error) from None
        if self._place.held > self._most:
            raise self._refusal(_too_large(self._most))
        self._whole = not message.get("more_body", False)
        return message

    def _refusal(self, error: ApiError) -> ApiError:
        """Frameworks answer any error while reading a body with one of their own."""
        self._answer.instead = error
        return error


class _Answer:
    """`send` with the security headers; remembers the status. `instead`: sent in place of what
    the application says."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.instead: ApiError | None = None

    async def __call__(self, message: Message) -> None:
        if self.instead is None:
            await self._pass(message)
        else:
            await self.refuse(self.instead)

    async def refuse(self, error: ApiError) -> None:
        """Send an error, unless an answer has begun: then there is nothing left but to end it."""
        if self.status:
            return
        body = json.dumps(error.record()).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        pairs = [(n.lower().encode(), v.encode()) for n, v in (headers | error.headers).items()]
        await self._pass({"type": "http.response.start", "status": error.status, "headers": pairs})
        await self._pass({"type": "http.response.body", "body": body})

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(PAGE_FILES)


def _host_name(host: str) -> str:
    """The name without the port; "" where it makes no sense."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes, the limit of this server")


def place_of(error: BaseException) -> str:
    """File and line where an error was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"
