"""The routes. Annotations here are values, not strings: FastAPI reads them, and it is an extra."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from valley.serve.errors import ApiError
from valley.serve.front import Front
from valley.serve.guard import Application, Guard, Receive, Send
from valley.serve.metrics import Metrics
from valley.serve.schemas import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Count,
    ErrorAnswer,
    Model,
    ModelList,
    State,
)
from valley.serve.settings import Settings

Result = TypeVar("Result")

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


def create_app(
    settings: Settings, give_up: Callable[[BaseException], None] = lambda _: None
) -> Application:
    """The whole server as an ASGI application. Raises ValueError without the extra `serve`.

    `give_up` is told why no engine could be started: then there is nothing to serve.
    """
    try:
        from fastapi import FastAPI
    except ImportError:
        raise ValueError("serving needs fastapi: pip install 'valley-vlm[serve]'") from None

    metrics = Metrics()
    front = Front(settings, metrics)
    engine = front.engine
    metrics.watch("running", "Replies being decoded", lambda: engine.running)
    metrics.watch("waiting", "Requests waiting for their turn", lambda: engine.waiting)
    metrics.watch("engine_starts", "Engine processes started so far", lambda: engine.starts)
    metrics.watch("engine_ready", "1 where an engine is ready", lambda: engine.ready)

    def ended(keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()):
            give_up(error)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keeper = asyncio.create_task(engine.run())
        keeper.add_done_callback(ended)
        yield
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    app = FastAPI(
        title="Valley",
        description="Chat completions of OpenAI's API over a vision-language model.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_errors(app)
    _add_api(app, front)
    _add_state(app, front, metrics)
    _add_page(app)
    _tell_the_truth(app)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return Guard(app, settings, metrics, paths)


def _add_errors(app: Any) -> None:
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def answer(error: ApiError) -> JSONResponse:
        return JSONResponse(error.record(), error.status, error.headers)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return answer(_first_problem(error.errors()))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        said = answer(ApiError(error.status_code, str(error.detail)))
        said.headers.update(error.headers or {})
        return said

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return answer(ApiError(500, f"the server failed: {type(error).__name__}"))


def _tell_the_truth(app: Any) -> None:
    """FastAPI documents a 422 for every body; here an invalid one is answered with 400."""
    document = app.openapi()
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _first_problem(problems: Any) -> ApiError:
    """The first of pydantic's findings. What was sent is not repeated."""
    problem = problems[0]
    if problem["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON")
    where = ".".join(str(part) for part in problem["loc"][1:])
    text = problem["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{where}: {text}" if where else text, where or None)


def _add_api(app: Any, front: Front) -> None:
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
            return await _while_connected(request.receive, front.complete(body))
        chunks = front.chunks(body)
        first = await _while_connected(request.receive, anext(chunks))
        return EventStream(_events(first, chunks), media_type="text/event-stream")

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


def _add_state(app: Any, front: Front, metrics: Metrics) -> None:
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


def _add_page(app: Any) -> None:
    from fastapi.responses import FileResponse
    from fastapi.staticfiles import StaticFiles

    @app.get("/", include_in_schema=False)
    async def show_page() -> Any:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))


async def _events(
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


async def _while_connected(receive: Receive, work: Awaitable[Result]) -> Result:
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
