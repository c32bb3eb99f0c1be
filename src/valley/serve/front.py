"""What the routes do, without a web framework: plan, wait for the engine, answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from valley.serve.admission import Admission, Planned
from valley.serve.answers import (
    ChatChunk,
    ChatCompletion,
    Count,
    CountedMedia,
)
from valley.serve.completion import Completion
from valley.serve.errors import ApiError
from valley.serve.metrics import Metrics
from valley.serve.schemas import (
    ChatRequest,
)
from valley.serve.settings import ENGINES, Settings
from valley.serve.supervisor import Event, Supervisor
from valley.serve.wire import Frame

#: Seconds that a request waits for an engine that is starting.
PATIENCE = 60.0


class Front:
    """One server: its engine, and the requests that are open."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self._metrics = settings, metrics
        self.engine = Supervisor(
            ENGINES[settings.engine],
            settings.engine_options(),
            self._on_ready,
            settings.stall_seconds,
        )
        self._admission: Admission | None = None

    def _on_ready(self, frame: Frame) -> None:
        if self._admission is None:  # later engines have the same model
            self._admission = Admission(self.settings, frame.blobs[0], frame.body["context"])

    async def plan(self, body: ChatRequest) -> Planned:
        """Once there was an engine, none is needed to say what a request costs, or lacks."""
        if self._admission is None:
            await self.engine.wait_ready(PATIENCE)
        assert self._admission is not None
        return await asyncio.to_thread(self._admission.plan, body)

    async def count(self, body: ChatRequest) -> Count:
        planned = await self.plan(body)
        media = [CountedMedia(**item.record()) for item in planned.media]
        return Count(
            model=self.settings.model,
            prompt_tokens=planned.prompt_tokens,
            visual_tokens=planned.visual_tokens,
            max_tokens=planned.ask.sampling.max_new_tokens,
            context=planned.context,
            media=media,
        )

    async def complete(self, body: ChatRequest) -> ChatCompletion:
        async with self._answering(body) as (completion, events):
            return await completion.whole(events)

    async def chunks(self, body: ChatRequest) -> AsyncGenerator[ChatChunk | ApiError, None]:
        """Chunks of the answer. Errors before the first are raised; a later one is the last item,
        because the status has been sent."""
        begun = False
        usage = body.stream_options is not None and body.stream_options.include_usage
        try:
            async with self._answering(body) as (completion, events):
                async for chunk in completion.chunks(events, usage):
                    begun = True
                    yield chunk
        except ApiError as error:
            if not begun:
                raise
            yield error

    @asynccontextmanager
    async def _answering(
        self, body: ChatRequest
    ) -> AsyncIterator[tuple[Completion, AsyncIterator[Event]]]:
        planned = await self.plan(body)
        completion = Completion(self.settings.model, planned)
        await self.engine.wait_ready(PATIENCE)
        async with self.engine.asking(planned.ask) as events:
            try:
                yield completion, _begun(events, await anext(events))
            finally:
                self._metrics.answered(completion.usage, completion.queued)


async def _begun(events: AsyncIterator[Event], first: Event) -> AsyncIterator[Event]:
    """All events, of which the first has been read: then the media were good."""
    yield first
    async for event in events:
        yield event
