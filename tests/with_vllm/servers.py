"""Both ways to serve with vLLM, as processes of their own, asked by the official client."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import httpx2 as httpx
import openai
import pytest

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
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A server that ends with the test."""
    # On a CPU this makes vLLM's own server do with a process less.
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield server
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def client_of(server: subprocess.Popen[str], url: str, ready: str) -> openai.OpenAI:
    """Once the server answers."""

    def up() -> bool:
        assert server.poll() is None, "the server has ended"
        try:
            return httpx.get(f"{url}{ready}").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(up, 450)
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120)


@dataclass(frozen=True)
class Servers:
    """Both start at once."""

    ours: subprocess.Popen[str]
    theirs: subprocess.Popen[str]
    port: int


@pytest.fixture(scope="module")
def servers(checkpoint: Any) -> Iterator[Servers]:
    """`valley serve` over a checkpoint with two towers as it is published; vLLM's own server, which
    finds the entry point by itself, over a native one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours = ["--engine", "vllm", "--model", str(checkpoint("valley2-published")), "--port", "0"]
    ours += ["--vllm", "max-model-len=16384", "--vllm", f"kv-cache-memory-bytes={2**29}"]
    theirs = ["--model", str(checkpoint("sail_vl-native")), "--port", str(port)]
    theirs += ["--max-model-len", "16384", "--kv-cache-memory-bytes", str(2**29)]
    theirs += ["--host", "127.0.0.1", "--enforce-eager", "--served-model-name", "tiny"]
    theirs += ["--trust-request-mm-kwargs"]
    single = ["--dtype", "float32"]
    with (
        started("valley", "serve", *ours, *single, "--served-name", "tiny") as first,
        started("vllm.entrypoints.openai.api_server", *theirs, *single) as second,
    ):
        yield Servers(first, second, port)


@pytest.fixture(scope="module")
def published(checkpoint: Any, servers: Servers) -> list[Answered]:
    return local(checkpoint("valley2-published"), REQUESTS)


@pytest.fixture(scope="module")
def native(checkpoint: Any, servers: Servers) -> list[Answered]:
    return local(checkpoint("sail_vl-native"), REQUESTS[:3])


@pytest.fixture(scope="module")
def ours(servers: Servers) -> openai.OpenAI:
    assert servers.ours.stdout is not None
    return client_of(servers.ours, servers.ours.stdout.readline().strip(), "/ready")


@pytest.fixture(scope="module")
def theirs(servers: Servers) -> openai.OpenAI:
    return client_of(servers.theirs, f"http://127.0.0.1:{servers.port}", "/health")


def test_our_server_answers_as_the_local_engine(
    ours: openai.OpenAI, published: list[Answered]
) -> None:
    for number, wanted in enumerate(published):
        reply = ask(ours, number)
        assert reply.choices[0].message.content == wanted.reply.text
        usage, planned = reply.usage, wanted.reply.usage
        assert usage.prompt_tokens == planned.prompt_tokens == len(wanted.ids)
        assert usage.prompt_tokens_details.image_tokens == planned.visual_tokens
        assert usage.completion_tokens == planned.completion_tokens


def test_our_server_streams(ours: openai.OpenAI, published: list[Answered]) -> None:
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(ours, 0, stream=True)]
    assert "".join(pieces) == published[0].reply.text
    assert len(pieces) > 3


def test_our_server_refuses_what_does_not_fit(ours: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the context holds 16384"):
        ask(ours, 0, max_tokens=20_000)


def test_their_server_sees_the_ids_and_says_the_tokens_of_the_local_engine(
    theirs: openai.OpenAI, native: list[Answered]
) -> None:
    for number, wanted in enumerate(native):
        reply = ask(theirs, number, extra_body={"return_token_ids": True})
        assert reply.prompt_token_ids == wanted.ids
        said = tuple(reply.choices[0].token_ids)
        assert said[: len(wanted.reply.token_ids)] == wanted.reply.token_ids


def test_their_server_takes_limits_of_vision(
    theirs: openai.OpenAI, native: list[Answered], checkpoint: Any
) -> None:
    one = replace(REQUESTS[1], budget=Budget(max_tiles=1))
    wanted = ValleyProcessor.from_pretrained(checkpoint("sail_vl-native")).encode(one).input_ids
    limits = {"mm_processor_kwargs": {"max_tiles": 1}, "return_token_ids": True}
    assert ask(theirs, 1, extra_body=limits).prompt_token_ids == wanted
    assert len(wanted) < len(native[1].ids)


def test_their_server_lives_on_after_requests_that_cannot_be_answered(
    theirs: openai.OpenAI, native: list[Answered]
) -> None:
    clip = body(3)
    with pytest.raises(openai.BadRequestError):
        theirs.chat.completions.create(model="tiny", messages=clip)  # type: ignore[arg-type]
    for options in ({"chat_template": "{{ 1 }}"}, {"continue_final_message": True}):
        with pytest.raises(openai.APIStatusError) as refused:
            ask(theirs, 0, extra_body={"add_generation_prompt": False, **options})
        assert refused.value.status_code == 400
    assert ask(theirs, 0).usage.prompt_tokens == len(native[0].ids)
