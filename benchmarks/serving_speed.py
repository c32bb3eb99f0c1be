"""Throughput of the server beside its peers, on the same weights in one run.

    python benchmarks/serving_speed.py [--requests 48] [--tokens 64] [--vllm .venv-vllm/bin/python]

The weights are nano's with the rows of its end tokens at zero, so that every reply is as long as
asked. Peers: transformers' `generate` one at a time and on padded batches of 8, without a server;
`transformers serve`, plain and with its continuous batching, which takes words only and gets the
decoder alone; with `--vllm`, the Python of an environment that has vLLM, `valley serve` over vLLM
and vLLM's own server. Every row is warmed up with one request.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer, Qwen3ForCausalLM

import valley.chat
from valley.model.files import NANO

CARD = Path(__file__).parent.parent / "examples" / "media" / "card.png"
CHAT = "/v1/chat/completions"
CONCURRENT, BATCH = 16, 8
#: Seconds after which `valley serve` has prepared a second process for the end of the first.
SETTLED = 40
#: vLLM without words to its makers, and a core for the model instead of one for a second process.
VLLM = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}


def endless(directory: Path) -> Path:
    """nano whose replies never end by themselves."""
    shutil.copytree(NANO, directory)
    weights = load_file(directory / "model.safetensors")
    name = next(name for name in weights if name.endswith("embed_tokens.weight"))
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    weights[name][ends] = 0
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    return directory


def decoder(model: Any, source: Path, directory: Path) -> Path:
    """The decoder of a model alone, as transformers knows it."""
    alone = Qwen3ForCausalLM(AutoConfig.from_pretrained(source).text_config)
    alone.model.load_state_dict(model.model.language_model.state_dict())
    alone.tie_weights()
    alone.save_pretrained(directory)
    AutoTokenizer.from_pretrained(source).save_pretrained(directory)
    return directory


def words(number: int) -> str:
    return f"Number {number}: what is the price, and what else is written there?"


def body(model: str, number: int, tokens: int, picture: str | None) -> dict[str, Any]:
    content: Any = words(number)
    if picture:
        shown = {"type": "image_url", "image_url": {"url": picture}}
        content = [shown, {"type": "text", "text": content}]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}


async def ask(url: str, bodies: Sequence[dict[str, Any]], at_once: int) -> int:
    """Tokens of all replies."""
    places = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:

        async def one(asked: dict[str, Any]) -> int:
            async with places:
                answer = await client.post(CHAT, json=asked)
                answer.raise_for_status()
                return int(answer.json()["usage"]["completion_tokens"])

        return sum(await asyncio.gather(*map(one, bodies)))


def timed(work: Callable[[], int]) -> float:
    """Tokens a second."""
    started = time.perf_counter()
    tokens = work()
    return tokens / (time.perf_counter() - started)


def over_http(url: str, model: str, asked: argparse.Namespace, picture: str | None) -> list[float]:
    """Tokens a second one at a time, and at once."""
    bodies = [body(model, n, asked.tokens, picture) for n in range(asked.requests)]
    asyncio.run(ask(url, bodies[:1], 1))
    few = bodies[: max(1, asked.requests // 4)]
    return [
        timed(lambda: asyncio.run(ask(url, few, 1))),
        timed(lambda: asyncio.run(ask(url, bodies, CONCURRENT))),
    ]


def by_generate(chat: valley.chat.Chat, asked: argparse.Namespace, picture: bool) -> list[float]:
    """The same without a server: one at a time, and in padded batches."""
    media = [str(CARD)] if picture else []

    @torch.inference_mode()
    def generate(numbers: range) -> int:
        encoded = [chat.processor.encode(chat.request(words(n), *media)) for n in numbers]
        inputs = chat.processor.collate(encoded)
        output = chat.engine.model.generate(
            **inputs, max_new_tokens=asked.tokens, min_new_tokens=asked.tokens, do_sample=False
        )
        return len(numbers) * (output.shape[1] - inputs["input_ids"].shape[1])

    def all_of(count: int, size: int) -> int:
        return sum(generate(range(i, min(i + size, count))) for i in range(0, count, size))

    all_of(1, 1)
    return [
        timed(lambda: all_of(max(1, asked.requests // 4), 1)),
        timed(lambda: all_of(asked.requests, BATCH)),
    ]


@contextmanager
def program(*command: str, path: str, port: int) -> Iterator[str]:
    """A server, once `path` answers and it has come to rest."""
    url = f"http://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--port", str(port)], **quiet) as process:
        try:
            while not answers(url + path):
                assert process.poll() is None, f"{command} ended"
                time.sleep(0.5)
            time.sleep(SETTLED)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(asked: argparse.Namespace, folder: Path) -> list[tuple[str, str, list[float]]]:
    source = endless(folder / "endless")
    chat = valley.load(source, device="cpu")
    alone = decoder(chat.engine.model, source, folder / "decoder")
    uri = "data:image/png;base64," + base64.b64encode(CARD.read_bytes()).decode()
    contents = (("a picture", uri), ("words", None))
    rows = []
    ours = (sys.executable, "-m", "valley", "serve", "--device", "cpu", "--model", str(source))
    with program(*ours, path="/ready", port=free_port()) as url:
        for content, shown in contents:
            rows.append(("valley serve", content, over_http(url, "endless", asked, shown)))
    for content, picture in (("a picture", True), ("words", False)):
        rows.append(("generate", content, by_generate(chat, asked, picture)))
    peer = str(Path(sys.executable).parent / "transformers")
    for name, options in (("", []), (", continuous batching", ["--continuous-batching"])):
        command = (peer, "serve", str(alone), "--device", "cpu", *options)
        with program(*command, path="/health", port=free_port()) as url:
            found = over_http(url, str(alone), asked, None)
            rows.append((f"transformers serve{name}", "words", found))
    for name, command, path in vllm_servers(asked.vllm, source) if asked.vllm else ():
        with program(*command, path=path, port=free_port()) as url:
            for content, shown in contents:
                rows.append((name, content, over_http(url, "endless", asked, shown)))
    return rows


def vllm_servers(python: Path, source: Path) -> Iterator[tuple[str, list[str], str]]:
    """Ours over vLLM and its own: name, command, and the path that says that it is up."""
    run = [str(python), "-m"]
    ours = ["valley", "serve", "--engine", "vllm", "--model", str(source)]
    yield "valley serve, vLLM", [*run, *ours], "/ready"
    theirs = ["vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--model", str(source)]
    theirs += ["--served-model-name", "endless", "--dtype", "float32", "--enforce-eager"]
    yield "vLLM's own server", [*run, *theirs, "--kv-cache-memory-bytes", str(4 * 2**30)], "/health"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--vllm", type=Path, help="the Python of an environment that has vLLM")
    asked = parser.parse_args()
    os.environ.update(VLLM, HF_HUB_OFFLINE="1")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(asked, Path(folder))
    print(f"{asked.requests} requests, {asked.tokens} tokens a reply; tokens a second\n")
    print(f"| what | asked about | one at a time | {CONCURRENT} at once, or batches of {BATCH} |")
    print("|---|---|---|---|")
    for name, content, (single, many) in rows:
        print(f"| {name} | {content} | {single:.0f} | {many:.0f} ({many / single:.1f} times) |")


if __name__ == "__main__":
    main()
