"""The routes. Annotations here are values, not strings: FastAPI reads them, and it is an extra."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from valley.serve.answers import (
    ChatChunk,
    ChatCompletion,
    Count,
    ErrorAnswer,
    Model,
    ModelList,
    State,
)
from valley.serve.errors import ApiError
from valley.serve.exchange import Send
from valley.serve.front import Front
from valley.serve.metrics import Metrics
from valley.serve.schemas import ChatRequest
from valley.serve.streams import events, while_connected

PAGE = Path(__file__).parent / "page"
_REFUSALS = {
    400: "The request cannot be answered; the message says why",
    401: "The API key is missing or wrong",
    403: "A foreign Host or Origin",
    404: "There is no such model or path",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON by its Content-Type",
    429: "Too many requests for this key",
    503: "The engine is starting, stopped with the request, or too much is open",
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text} for status, text in _REFUSALS.items()
}


def add_api(app: Any, front: Front) -> None:
    from fastapi import Request
    from fastapi.responses import StreamingResponse

    class EventStream(StreamingResponse):
        """Ends the work at once where the client goes away."""

        body_iterator: AsyncGenerator[str, None]

        async def stream_response(self, send: Send) -> None:
            try:
                await super().stream_response(send)
            finally:
                await self.body_iterator.aclose()

    started = int(time.time())
    stream = {"text/event-stream": {"schema": ChatChunk.model_json_schema()}}

    @app.post(
        "/v1/chat/completions",
        responses={
            **_ANSWERS,
            200: {"content": stream, "description": "The answer, or its chunks"},
        },
        response_model=ChatCompletion,
    )
    async def chat_completions(body: ChatRequest, request: Request) -> Any:
        """Answer a conversation, whole or in chunks (`stream`)."""
        if not body.stream:
            return await while_connected(request.receive, front.complete(body))
        chunks = front.chunks(body)
        first = await while_connected(request.receive, anext(chunks))
        return EventStream(events(first, chunks), media_type="text/event-stream")

    @app.post("/v1/count", responses=_ANSWERS)
    async def count(body: ChatRequest) -> Count:
        """What a request would cost, without asking it."""
        return await front.count(body)

    @app.post("/v1/completions", responses=_ANSWERS, status_code=404)
    async def completions() -> None:
        """Not offered: a picture has no place in a plain prompt."""
        raise ApiError(404, "use /v1/chat/completions: plain completions are not offered")

    @app.get("/v1/models", responses=_ANSWERS)
    async def models() -> ModelList:
        return ModelList(data=[Model(id=front.settings.model, created=started)])


def add_state(app: Any, front: Front, metrics: Metrics) -> None:
    from fastapi import Response
    from fastapi.responses import JSONResponse

    @app.get("/health")
    async def health() -> State:
        """Whether the server lives."""
        return State(status="ok")

    @app.get("/ready", responses={503: {"model": State, "description": "The engine is starting"}})
    async def ready() -> Any:
        """Whether the engine can answer."""
        if front.engine.ready:
            return State(status="ok")
        return JSONResponse(State(status="starting").model_dump(), 503)

    @app.get("/metrics", include_in_schema=False)
    async def read_metrics() -> Any:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def add_page(app: Any) -> None:
    from fastapi.responses import FileResponse
    from fastapi.staticfiles import StaticFiles

    @app.get("/", include_in_schema=False)
    async def show_page() -> Any:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))
