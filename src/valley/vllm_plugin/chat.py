"""Conversations of vLLM's chat API as ids, written as everywhere else.

vLLM would render the chat template to text and tokenise that, so that a placeholder or an end of a
turn in somebody's words would count as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from vllm.renderers.chat_utils import parse_chat_messages, parse_chat_messages_async
from vllm.renderers.hf import HfRenderer
from vllm.renderers.params import ChatParams

from valley.processing import ValleyProcessor
from valley.types import Image, Message, Part, Text

#: What a request may ask of other models' templates.
REFUSED = frozenset({"chat_template", "continue_final_message", "tools", "documents"})


class PlannedRenderer(HfRenderer):
    """Writes one `image_token` a picture, which `PictureProcessor` expands."""

    @cached_property
    def processor(self) -> ValleyProcessor:
        assert self.mm_processor is not None
        found: ValleyProcessor = self.mm_processor.info.get_hf_processor()
        return found

    def render_messages(self, messages: Any, params: ChatParams) -> Any:
        parsed = parse_chat_messages(messages, self.model_config, **_reading(params))
        return self._written(params, *parsed)

    async def render_messages_async(self, messages: Any, params: ChatParams) -> Any:
        parsed = await parse_chat_messages_async(messages, self.model_config, **_reading(params))
        return self._written(params, *parsed)

    def _written(self, params: ChatParams, conversation: Any, data: Any, uuids: Any) -> Any:
        options = params.chat_template_kwargs
        for name, asked in (options | {"chat_template": params.chat_template}).items():
            if name in REFUSED and asked:
                raise ValueError(f"these models are asked without {name}: leave it out")
        writer, token = self.processor.writer, self.processor.image_token
        text = writer.text(
            [_message(turn) for turn in conversation],
            lambda picture: token,
            options.get("add_generation_prompt", True),
            options.get("enable_thinking"),
        )
        prompt: dict[str, Any] = {"prompt_token_ids": writer.tokens(text).input_ids}
        if data is not None:
            prompt["multi_modal_data"] = data
        if uuids is not None:
            prompt["multi_modal_uuids"] = uuids
        return conversation, prompt


def _reading(params: ChatParams) -> dict[str, Any]:
    """How vLLM reads messages: each part stays what it is."""
    return {
        "content_format": "openai",
        "media_io_kwargs": params.media_io_kwargs,
        "mm_processor_kwargs": params.mm_processor_kwargs,
    }


def _message(turn: Mapping[str, Any]) -> Message:
    role = "system" if turn["role"] == "developer" else turn["role"]
    if turn.get("tool_calls"):
        raise ValueError("these models call no tools: leave out tool_calls")
    content = turn.get("content") or ()
    parts = [content] if isinstance(content, str) else _parts(content)
    return Message.of(role, *parts)


def _parts(content: Iterable[Mapping[str, Any]]) -> Iterable[Part]:
    for part in content:
        if part["type"] == "text":
            yield Text(part["text"])
        elif part["type"] == "image":
            yield Image(None)
        else:
            raise ValueError(f"these models take text and pictures, no {part['type']}")
