"""Answers and the clients who may go away while they wait for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TypeVar

from valley.serve.answers import (
    ChatChunk,
)
from valley.serve.errors import ApiError
from valley.serve.exchange import Receive

Result = TypeVar("Result")


async def events(
    first: ChatChunk | ApiError, rest: AsyncGenerator[ChatChunk | ApiError, None]
) -> AsyncGenerator[str, None]:
    """Server-sent events; the last says that it was the last."""
    item: ChatChunk | ApiError | None = first
    async with aclosing(rest):
        while item is not None:
            if isinstance(item, ApiError):
                yield f"data: {json.dumps(item.record())}\n\n"
            else:
                yield f"data: {item.model_dump_json(exclude_none=True)}\n\n"
            item = await anext(rest, None)
    yield "data: [DONE]\n\n"


async def while_connected(receive: Receive, work: Awaitable[Result]) -> Result:
    """The result, unless the client goes away: then the work is given up."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "the client has gone")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
