"""What the API answers: OpenAI's chat completions, and one extension field named `valley`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob] = []


class Logprobs(BaseModel):
    content: list[TokenLogprob]


class FoundBox(BaseModel):
    """`box`: x0, y0, x1, y1 in pixels of picture number `picture` as it was sent, counted from 0
    with the frames of clips. Where the reply does not say which of several pictures it means,
    `picture` is null and the sides are shares of width and height."""

    box: tuple[float, float, float, float]
    label: str = ""
    picture: int | None = None


class FoundCue(BaseModel):
    """One `<vcues_N>` block of the reasoning."""

    index: int
    text: str


class ChoiceExtension(BaseModel):
    """`cut_short`: why a reply of finish reason `length` ended, where no limit did it."""

    boxes: list[FoundBox] = []
    cues: list[FoundCue] = []
    cut_short: Literal["repetition"] | None = None
    queued_seconds: float = 0.0


class AssistantMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = None
    refusal: None = None


FinishReason: TypeAlias = Literal["stop", "length"]


class Choice(BaseModel):
    index: int
    message: AssistantMessage
    finish_reason: FinishReason
    logprobs: Logprobs | None = None
    valley: ChoiceExtension


class PromptDetails(BaseModel):
    image_tokens: int = 0
    cached_tokens: int = 0


class Usage(BaseModel):
    """`prompt_tokens_details.image_tokens`: visual tokens, a part of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: Logprobs | None = None
    valley: ChoiceExtension | None = None


class ChatChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class CountedMedia(BaseModel):
    """One picture or clip: its size, what the first tower sees of it, the tokens it costs."""

    size: tuple[int, int]
    frames: int
    grid: tuple[int, int]
    tiles: int
    tokens: int
    sees: tuple[int, int]


class Count(BaseModel):
    """What a request would cost. `max_tokens`: the most that the reply may have."""

    object: Literal["valley.count"] = "valley.count"
    model: str
    prompt_tokens: int
    visual_tokens: int
    max_tokens: int
    context: int
    media: list[CountedMedia]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "valley"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class State(BaseModel):
    status: Literal["ok", "starting"]


class ErrorRecord(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: ErrorRecord
