"""A checked body becomes a planned request: what it costs is known before the engine sees it.

Torch-free. Media are bytes from here on, whatever the client named.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from valley.counting import Counted, counted, writer_of
from valley.geometry import Plan
from valley.planning import Planner, lay_out, pictures_of
from valley.prompt import Writer
from valley.schema import ANY_OBJECT, schema_text
from valley.serve.errors import ApiError
from valley.serve.media import Media
from valley.serve.schemas import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    ImagePart,
    TextPart,
)
from valley.serve.settings import Settings
from valley.serve.wire import Ask
from valley.types import Budget, Image, Message, Part, Request, Sampling, Size, Text, Video

#: Tokens of a reply where a request does not say.
DEFAULT_TOKENS = 512
#: Characters that no token stands for, for a quick refusal of endless words.
CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True)
class Planned:
    """A request ready for the engine, and what is known of it already."""

    ask: Ask
    visual_tokens: int
    context: int
    media: tuple[Counted, ...]
    sizes: tuple[Size, ...]

    @property
    def prompt_tokens(self) -> int:
        return self.ask.prompt_tokens


class Admission:
    """Plans requests for one checkpoint. `tokenizer`, `context`: what the engine says it has."""

    def __init__(self, settings: Settings, tokenizer: bytes, context: int) -> None:
        self._settings, self._context = settings, context
        self._planner = Planner.of(settings.directory)
        family = self._planner.family
        shared = Tokenizer.from_str(tokenizer.decode())
        self._writer: Writer = writer_of(family, settings.directory, shared)

    def plan(self, body: ChatRequest) -> Planned:
        """Raises ApiError for what cannot be answered."""
        if body.model != self._settings.model:
            raise ApiError(
                404, f"there is no model {body.model[:80]!r} here", "model", "model_not_found"
            )
        try:
            return self._plan(body)
        except ValueError as error:
            raise ApiError(400, str(error)) from None

    def _plan(self, body: ChatRequest) -> Planned:
        self._check_amount(body)
        extension = body.valley.model_dump(exclude_none=True) if body.valley else {}
        thinking = extension.pop("thinking", None)
        media = Media(self._settings)
        messages = [_message(message, media) for message in body.messages]
        request = self._planner.turns(messages, budget=Budget(**extension), thinking=thinking)
        outlined = self._planner.outline(request, self._settings.limits)
        tokens, plans = lay_out(self._planner, self._writer, outlined)
        prompt_tokens, visual = len(tokens.input_ids), sum(plan.num_tokens for plan in plans)
        sampling = self._sampling(body, prompt_tokens)
        log_probs = (body.top_logprobs or 0) if body.logprobs else None
        return Planned(
            Ask(request, sampling, body.n or 1, log_probs, prompt_tokens),
            visual,
            self._context,
            tuple(_media(outlined, plans)),
            tuple(plan.original for plan in plans),
        )

    def _check_amount(self, body: ChatRequest) -> None:
        parts = [p for m in body.messages if isinstance(m.content, list) for p in m.content]
        media = [part for part in parts if not isinstance(part, TextPart)]
        if len(media) > self._settings.max_media:
            most = self._settings.max_media
            raise ApiError(400, f"{len(media)} pictures and clips: at most {most}", "messages")
        words = [part.text for part in parts if isinstance(part, TextPart)]
        words += [m.content for m in body.messages if isinstance(m.content, str)]
        if sum(map(len, words)) > self._context * CHARACTERS_PER_TOKEN:
            raise self._too_long(f"the words alone have {sum(map(len, words))} characters")

    def _sampling(self, body: ChatRequest, prompt_tokens: int) -> Sampling:
        asked = body.max_completion_tokens or body.max_tokens
        left = self._context - prompt_tokens
        if left < (asked or 1):
            raise self._too_long(f"{prompt_tokens} tokens of prompt and {asked or 1} of reply")
        return Sampling(
            max_new_tokens=asked or min(DEFAULT_TOKENS, left),
            temperature=body.temperature or 0.0,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=body.top_k or None,
            repetition_penalty=body.repetition_penalty or 1.0,
            seed=body.seed,
            stop=tuple(body.stop or ()),
            schema=_schema(body),
        )

    def _too_long(self, what: str) -> ApiError:
        problem = f"{what}, and the context holds {self._context}: shorten it"
        return ApiError(400, problem, "messages", "context_length_exceeded")


def _message(message: ChatMessage, media: Media) -> Message:
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message.of(role, message.content)
    return Message.of(role, *(_part(part, media) for part in message.content))


def _part(part: ContentPart, media: Media) -> Part:
    if isinstance(part, TextPart):
        return Text(part.text)
    if isinstance(part, ImagePart):
        return Image(media.read(part.image_url.url))
    return Video(media.read(part.video_url.url))


def _schema(body: ChatRequest) -> str | None:
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is None:
        return ANY_OBJECT
    try:
        return schema_text(wanted.json_schema.schema_ or {"type": "object"})
    except ValueError as error:
        raise ApiError(400, str(error), "response_format") from None


def _media(request: Request, plans: list[Plan]) -> list[Counted]:
    """What each picture and clip costs; `request` is outlined."""
    found, rest = [], iter(plans)
    for part in (part for message in request.messages for part in message.parts):
        if pictures := pictures_of(part):
            own = [next(rest) for _ in pictures]
            found.append(counted("", own, clip=isinstance(part, Video)))
    return found
