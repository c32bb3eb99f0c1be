"""One HTTP exchange as ASGI sees it: a bounded body comes in, security headers go out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from valley.serve.errors import ApiError
from valley.serve.room import Place
from valley.serve.settings import Settings

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

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


class Body:
    """`receive` of a body that is not too large and does not take for ever."""

    def __init__(self, receive: Receive, answer: Answer, settings: Settings, place: Place) -> None:
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
            raise self._refusal(too_large(self._most))
        self._whole = not message.get("more_body", False)
        return message

    def _refusal(self, error: ApiError) -> ApiError:
        """Frameworks answer any error while reading a body with one of their own."""
        self._answer.instead = error
        return error


class Answer:
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


def too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes, the limit of this server")
