"""Replies as the API writes them, whole or in chunks, from the events of the engine."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from valley.grounding import boxes_in
from valley.prompt import Parsed, parse_reply
from valley.serve.admission import Planned
from valley.serve.answers import (
    AssistantMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChoiceExtension,
    ChunkChoice,
    Delta,
    FinishReason,
    FoundBox,
    FoundCue,
    Logprobs,
    PromptDetails,
    TokenLogprob,
    Usage,
)
from valley.serve.channels import Channels

Event = dict[str, Any]


@dataclass
class Written:
    """What is known of one choice so far."""

    raw: str = ""
    tokens: int = 0
    finish: str | None = None
    log_probs: list[TokenLogprob] = field(default_factory=list)
    channels: Channels = field(default_factory=Channels)

    def add(self, event: Event) -> list[TokenLogprob]:
        """Take in an event; the log-probabilities it brings."""
        self.raw += event["text"]
        self.tokens, self.finish = event["tokens"], event["finish"]
        new = [TokenLogprob(**event["log_probs"])] if "log_probs" in event else []
        self.log_probs += new
        return new

    @property
    def reason(self) -> FinishReason:
        """A loop that was cut short is no natural end."""
        return "stop" if self.finish == "stop" else "length"


class Completion:
    """The answer to one planned request."""

    def __init__(self, model: str, planned: Planned) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self._model, self._planned, self._created = model, planned, int(time.time())
        self._choices = [Written() for _ in range(planned.ask.choices)]
        self._log_probs = planned.ask.log_probs is not None
        self.queued = 0.0

    @property
    def usage(self) -> Usage:
        prompt, told = self._planned.prompt_tokens, sum(item.tokens for item in self._choices)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=told,
            total_tokens=prompt + told,
            prompt_tokens_details=PromptDetails(image_tokens=self._planned.visual_tokens),
        )

    async def whole(self, events: AsyncIterator[Event]) -> ChatCompletion:
        async for event in events:
            self._take(event)
        return ChatCompletion(
            id=self.id,
            created=self._created,
            model=self._model,
            choices=[self._choice(index) for index in range(len(self._choices))],
            usage=self.usage,
        )

    async def chunks(
        self, events: AsyncIterator[Event], include_usage: bool = False
    ) -> AsyncIterator[ChatChunk]:
        for index in range(len(self._choices)):
            yield self._chunk(ChunkChoice(index=index, delta=Delta(role="assistant", content="")))
        async for event in events:
            for choice in self._pieces(event):
                yield self._chunk(choice)
        if include_usage:
            yield self._chunk(usage=self.usage)

    def _take(self, event: Event) -> list[TokenLogprob]:
        if "started" in event:
            self.queued = event["started"]
            return []
        return self._choices[event["choice"]].add(event)

    def _pieces(self, event: Event) -> Iterator[ChunkChoice]:
        new = self._take(event)
        if "started" in event:
            return
        index = event["choice"]
        written = self._choices[index]
        parts = written.channels.add(event["text"])
        if written.finish:
            parts += written.channels.end()
        deltas = [Delta.model_validate({channel: text}) for channel, text in parts]
        if new and not deltas:
            deltas = [Delta(content="")]
        for number, delta in enumerate(deltas):
            probs = Logprobs(content=new) if new and number == 0 else None
            yield ChunkChoice(index=index, delta=delta, logprobs=probs)
        if written.finish:
            extension = self._extension(written)
            yield ChunkChoice(
                index=index, delta=Delta(), finish_reason=written.reason, valley=extension
            )

    def _chunk(self, *choices: ChunkChoice, usage: Usage | None = None) -> ChatChunk:
        return ChatChunk(
            id=self.id,
            created=self._created,
            model=self._model,
            choices=list(choices),
            usage=usage,
        )

    def _choice(self, index: int) -> Choice:
        written = self._choices[index]
        schema = self._planned.ask.sampling.schema
        parsed = parse_reply(written.raw) if schema is None else Parsed(written.raw, None, ())
        return Choice(
            index=index,
            message=AssistantMessage(content=parsed.text, reasoning_content=parsed.thinking),
            finish_reason=written.reason,
            logprobs=Logprobs(content=written.log_probs) if self._log_probs else None,
            valley=self._extension(written),
        )

    def _extension(self, written: Written) -> ChoiceExtension:
        boxes = boxes_in(written.raw, self._planned.sizes)
        return ChoiceExtension(
            boxes=[
                FoundBox(box=(b.x0, b.y0, b.x1, b.y1), label=b.label, picture=b.picture)
                for b in boxes
            ],
            cues=[FoundCue(index=c.index, text=c.text) for c in parse_reply(written.raw).cues],
            cut_short="repetition" if written.finish == "repetition" else None,
            queued_seconds=round(self.queued, 4),
        )
