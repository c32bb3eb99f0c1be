"""The whole server as one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from valley.serve.exchange import Application
from valley.serve.failures import add_errors
from valley.serve.front import Front
from valley.serve.guard import Guard
from valley.serve.metrics import Metrics
from valley.serve.routes import add_api, add_page, add_state
from valley.serve.settings import Settings
from valley.serve.supervisor import Supervisor

GiveUp = Callable[[BaseException], None]


def create_app(settings: Settings, give_up: GiveUp = lambda _: None) -> Application:
    """The server. Raises ValueError without the extra `serve`.

    `give_up` is told why no engine could be started: then there is nothing to serve.
    """
    try:
        from fastapi import FastAPI
    except ImportError:
        raise ValueError("serving needs fastapi: pip install 'valley-vlm[serve]'") from None

    metrics = Metrics()
    front = Front(settings, metrics)
    _watch(metrics, front.engine)
    app = FastAPI(
        title="Valley",
        description="Chat completions of OpenAI's API over a vision-language model.",
        version="1",
        lifespan=_keeping(front.engine, give_up),
        docs_url=None,
        redoc_url=None,
    )
    add_errors(app)
    add_api(app, front)
    add_state(app, front, metrics)
    add_page(app)
    _tell_the_truth(app)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return Guard(app, settings, metrics, paths)


def _watch(metrics: Metrics, engine: Supervisor) -> None:
    metrics.watch("running", "Replies being decoded", lambda: engine.running)
    metrics.watch("waiting", "Requests waiting for their turn", lambda: engine.waiting)
    metrics.watch("engine_starts", "Engine processes started so far", lambda: engine.starts)
    metrics.watch("engine_ready", "1 where an engine is ready", lambda: engine.ready)


def _keeping(
    engine: Supervisor, give_up: GiveUp
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """The engine lives as long as the application."""

    def ended(keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()):
            give_up(error)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        keeper = asyncio.create_task(engine.run())
        keeper.add_done_callback(ended)
        yield
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    return lifespan


def _tell_the_truth(app: Any) -> None:
    """FastAPI documents a 422 for every body; here an invalid one is answered with 400."""
    document = app.openapi()
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
