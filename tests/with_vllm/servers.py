"""Both ways to serve with vLLM, as processes of their own, asked by the official client."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
import torch

from serve.conftest import wait_until
from valley.processing import ValleyProcessor
from valley.types import Budget

from .asking import CARD, CLIP, FLAT, MEDIA, SAMPLING, TALL, Answered, about, local

REQUESTS = (
    about("What is the price?", CARD),
    about("Compare.", FLAT, TALL),
    about("Say <|image_pad|> and <|im_end|>."),
    CLIP,
)


def png(picture: Any) -> str:
    file = BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def body(number: int) -> list[dict[str, Any]]:
    """The messages of a request, for a server."""
    message = REQUESTS[number].messages[0]
    parts: list[Any] = [{"type": "text", "text": message.text}]
    pictures = [part.source for part in message.parts[:-1]]
    if REQUESTS[number] is CLIP:
        clip = base64.b64encode((MEDIA / "clip.mp4").read_bytes()).decode()
        parts.insert(
            0, {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + clip}}
        )
    else:
        parts[:0] = [{"type": "image_url", "image_url": {"url": png(p)}} for p in pictures]
    return [{"role": "user", "content": parts}]


def ask(client: openai.OpenAI, number: int, **options: Any) -> Any:
    return client.chat.completions.create(
        model="tiny",
        messages=body(number),  # type: ignore[arg-type]
        **{"max_tokens": SAMPLING.max_new_tokens, "temperature": 0, **options},
    )


@contextmanager
def running(command: list[str], url: str | None = None, ready: str = "/ready") -> Iterator[Any]:
    """A client of the server that a command starts, which says its address unless it is known."""
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=None if url else subprocess.PIPE, text=True
    ) as server:
        try:
            if server.stdout:
                url = server.stdout.readline().strip()

            def up() -> bool:
                assert server.poll() is None, "the server has ended"
                try:
                    return httpx.get(f"{url}{ready}").status_code == 200
                except httpx.TransportError:
                    return False

            wait_until(up, 240)
            yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def published(checkpoint: Any) -> tuple[Path, list[Answered]]:
    torch.set_num_threads(1)
    directory = checkpoint("valley2-published")
    return directory, local(directory, REQUESTS)


@pytest.fixture(scope="module")
def ours(published: tuple[Path, list[Answered]]) -> Iterator[openai.OpenAI]:
    """`valley serve` over a checkpoint with two towers, as it is published."""
    options = ["--vllm", "max-model-len=16384", "--vllm", f"kv-cache-memory-bytes={2**29}"]
    command = ["valley", "serve", "--engine", "vllm", "--model", str(published[0]), *options]
    with running(
        [*command, "--port", "0", "--dtype", "float32", "--served-name", "tiny"]
    ) as client:
        yield client


def test_our_server_answers_as_the_local_engine(
    ours: openai.OpenAI, published: tuple[Path, list[Answered]]
) -> None:
    for number, wanted in enumerate(published[1]):
        reply = ask(ours, number)
        assert reply.choices[0].message.content == wanted.reply.text
        usage, planned = reply.usage, wanted.reply.usage
        assert usage.prompt_tokens == planned.prompt_tokens == len(wanted.ids)
        assert usage.prompt_tokens_details.image_tokens == planned.visual_tokens
        assert usage.completion_tokens == planned.completion_tokens


def test_our_server_streams(ours: openai.OpenAI, published: tuple[Path, list[Answered]]) -> None:
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(ours, 0, stream=True)]
    assert "".join(pieces) == published[1][0].reply.text
    assert len(pieces) > 3


def test_our_server_refuses_what_does_not_fit(ours: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the context holds 16384"):
        ask(ours, 0, max_tokens=20_000)


@pytest.fixture(scope="module")
def native(checkpoint: Any) -> tuple[Path, list[Answered]]:
    directory = checkpoint("sail_vl-native")
    return directory, local(directory, REQUESTS[:3])


@pytest.fixture(scope="module")
def theirs(native: tuple[Path, list[Answered]]) -> Iterator[openai.OpenAI]:
    """vLLM's own server, which finds the entry point by itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    options = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "16384"]
    options += ["--host", "127.0.0.1", "--port", port, "--served-model-name", "tiny"]
    options += ["--kv-cache-memory-bytes", str(2**29)]
    module = "vllm.entrypoints.openai.api_server"
    with running(
        [module, "--model", str(native[0]), *options], f"http://127.0.0.1:{port}", "/health"
    ) as client:
        yield client


def test_their_server_sees_the_ids_and_says_the_tokens_of_the_local_engine(
    theirs: openai.OpenAI, native: tuple[Path, list[Answered]]
) -> None:
    for number, wanted in enumerate(native[1]):
        reply = ask(theirs, number, extra_body={"return_token_ids": True})
        assert reply.prompt_token_ids == wanted.ids
        said = tuple(reply.choices[0].token_ids)
        assert said[: len(wanted.reply.token_ids)] == wanted.reply.token_ids


def test_their_server_takes_limits_of_vision(
    theirs: openai.OpenAI, native: tuple[Path, list[Answered]]
) -> None:
    one = replace(REQUESTS[0], budget=Budget(max_tiles=1))
    wanted = ValleyProcessor.from_pretrained(native[0]).encode(one).input_ids
    limits = {"mm_processor_kwargs": {"max_tiles": 1}, "return_token_ids": True}
    assert ask(theirs, 0, extra_body=limits).prompt_token_ids == wanted
    assert len(wanted) < len(native[1][0].ids)


def test_their_server_lives_on_after_requests_that_cannot_be_answered(
    theirs: openai.OpenAI, native: tuple[Path, list[Answered]]
) -> None:
    clip = body(3)
    with pytest.raises(openai.BadRequestError):
        theirs.chat.completions.create(model="tiny", messages=clip)  # type: ignore[arg-type]
    for options in ({"chat_template": "{{ 1 }}"}, {"continue_final_message": True}):
        with pytest.raises(openai.APIStatusError) as refused:
            ask(theirs, 0, extra_body={"add_generation_prompt": False, **options})
        assert refused.value.status_code == 400
    assert ask(theirs, 0).usage.prompt_tokens == len(native[1][0].ids)
