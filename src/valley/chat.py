"""Ask a model about pictures and clips: the object that `valley.load` returns."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from dataclasses import fields
from typing import Any, TypedDict, Unpack

from valley.engine.base import Engine
from valley.engine.local import LocalEngine
from valley.media.limits import Limits
from valley.model.files import locate
from valley.model.memory import check_memory
from valley.planning import History, Planner
from valley.processing import ValleyProcessor
from valley.schema import schema_text
from valley.types import Budget, MediaSource, Part, Reply, Request, Sampling, Style, Usage

_SAMPLING = frozenset(field.name for field in fields(Sampling))


class Options(TypedDict, total=False):
    """What a question may set: the conversation as in `Planner.request`, then `Sampling`.

    `schema`: a JSON schema that the reply is held to, as text or as a mapping.
    """

    history: History | None
    system: str | None
    style: Style
    budget: Budget | None
    thinking: bool | None
    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int | None
    repetition_penalty: float
    seed: int | None
    stop: tuple[str, ...]
    schema: str | Mapping[str, Any] | None


class Chat:
    """A model ready to answer.

    `ask` takes a prompt and any number of pictures and clips: path, bytes, data URI, PIL image,
    array, sequence of frames; a URL if `limits.allow_urls`.
    """

    def __init__(
        self,
        engine: Engine,
        processor: ValleyProcessor,
        planner: Planner,
        limits: Limits = Limits(),
    ) -> None:
        self.engine = engine
        self.processor = processor
        self.planner = planner
        self.limits = limits

    def ask(self, prompt: str, *media: MediaSource | Part, **options: Unpack[Options]) -> Reply:
        """Answer one question about the media."""
        asked, sampling = _split(options)
        return self._answer(self.request(prompt, *media, **asked), sampling)

    def run(self, messages: History, **options: Unpack[Options]) -> Reply:
        """Answer a conversation of messages, the last one the user's."""
        asked, sampling = _split(options)
        return self._answer(
            self.planner.conversation(messages, **asked, limits=self.limits), sampling
        )

    def stream(
        self, prompt: str, *media: MediaSource | Part, **options: Unpack[Options]
    ) -> Generator[str, None, Reply]:
        """As `ask`, in pieces of raw text; the generator returns the whole reply."""
        asked, sampling = _split(options)
        return self.engine.stream(self.request(prompt, *media, **asked), sampling)

    def count(self, prompt: str, *media: MediaSource | Part, **options: Unpack[Options]) -> Usage:
        """The tokens a question costs, without asking it."""
        asked, _ = _split(options)
        return self.processor.encode(self.request(prompt, *media, **asked)).usage

    def request(self, prompt: str, *media: MediaSource | Part, **options: Any) -> Request:
        """The request that `ask` would send, its media opened and checked."""
        return self.planner.request(prompt, *media, **options, limits=self.limits)

    def _answer(self, request: Request, sampling: Sampling) -> Reply:
        return next(iter(self.engine.run([request], sampling)))


def load(
    model: str | os.PathLike[str] = "nano",
    device: str | None = None,
    dtype: Any = None,
    *,
    revision: str | None = None,
    attention: str = "sdpa",
    limits: Limits = Limits(),
) -> Chat:
    """A `Chat` over `nano`, a checkpoint directory of either layout, or a hub name.

    `device` None takes CUDA, MPS or the CPU, in that order, "auto" spreads the model; `dtype` None
    keeps the checkpoint's. Raises ValueError for a checkpoint that is not ours, is incomplete, or
    does not fit in memory.
    """
    directory = locate(model, revision)
    planner = Planner.of(directory)
    check_memory(directory, device, dtype)
    engine = LocalEngine.from_checkpoint(directory, device, dtype, attention)
    return Chat(engine, engine.processor, planner, limits)


def _split(options: Options) -> tuple[dict[str, Any], Sampling]:
    """Options of the conversation, and the sampling that the others describe."""
    given: dict[str, Any] = dict(options)
    if given.get("schema") is not None:
        given["schema"] = schema_text(given["schema"])
    asked = {name: value for name, value in given.items() if name not in _SAMPLING}
    return asked, Sampling(**{name: value for name, value in given.items() if name in _SAMPLING})
