"""What the API is asked: OpenAI's chat completions, and one extension field named `valley`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: Choices of one request.
MAX_CHOICES = 8
#: The largest seed of the API is that of a signed 64-bit number.
MAX_SEED = 2**63 - 1


class Strict(BaseModel):
    """Part of a request: fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class TextPart(Strict):
    type: Literal["text"]
    text: str


class MediaUrl(Strict):
    """`url`: a data URI; an https URL or a path where the server allows them. `detail` is
    accepted and has no effect: the `valley` budget says how much of a picture is seen."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Strict):
    type: Literal["image_url"]
    image_url: MediaUrl


class VideoPart(Strict):
    type: Literal["video_url"]
    video_url: MediaUrl


ContentPart: TypeAlias = Annotated[TextPart | ImagePart | VideoPart, Field(discriminator="type")]
Content: TypeAlias = str | Annotated[list[ContentPart], Field(min_length=1, max_length=1024)]


class ChatMessage(Strict):
    """`developer` is another word for `system`. `name` is accepted and has no effect, as is the
    reasoning of an earlier reply."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: str | None = None
    reasoning_content: str | None = None
    refusal: None = None
    valley: Any = None


class JsonSchema(Strict):
    """Replies always follow the schema, whatever `strict` says."""

    name: str = Field(max_length=64)
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema", default_factory=dict)
    strict: bool | None = None


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema, which needs it")
        return self


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class Extension(Strict):
    """What other APIs have no word for: the budget of vision and the switch for thinking."""

    thinking: bool | None = None
    min_pixels: int | None = Field(None, gt=0)
    max_pixels: int | None = Field(None, gt=0)
    frame_max_pixels: int | None = Field(None, gt=0)
    max_tiles: int | None = Field(None, gt=0, le=64)
    max_frames: int | None = Field(None, gt=0, le=1024)
    fps: float | None = Field(None, gt=0, le=1000)
    max_video_tokens: int | None = Field(None, gt=0)
    scales: int | None = Field(None, gt=0, le=2)


class ChatRequest(Strict):
    """A request for replies. `top_k` and `repetition_penalty` are those of vLLM's API."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=1024)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    seed: int | None = Field(None, ge=-MAX_SEED - 1, le=MAX_SEED)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    valley: Extension | None = None

    # Accepted, and without effect here.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    modalities: list[Literal["text"]] | None = None
    # Accepted where they ask for nothing.
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: dict[str, float] | None = Field(None, max_length=0)
    tools: list[Any] | None = Field(None, max_length=0)

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> list[str]:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > 4 or any(not 0 < len(stop) <= 256 for stop in stops):
            raise ValueError("at most 4 stop strings of 1 to 256 characters")
        return stops

    @model_validator(mode="after")
    def _fields_fit(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream")
        return self
