"""`valley serve` as a process of its own, asked by the official client."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import openai
import pytest
import typer

from valley import cli

from .conftest import MEDIA, question, wait_until

CHAT = "/v1/chat/completions"
ROOT = MEDIA.parents[1]
CARD = "data:image/png;base64," + base64.b64encode((MEDIA / "card.png").read_bytes()).decode()
CLIP = "data:video/mp4;base64," + base64.b64encode((MEDIA / "clip.mp4").read_bytes()).decode()
#: A reply to it is as long as it may be.
ENDLESS = {
    "max_tokens": 3000,
    "temperature": 1.0,
    "seed": 1,
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "numbers",
            "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 3000},
        },
    },
}


@pytest.fixture(scope="module")
def client(nano) -> openai.OpenAI:
    return openai.OpenAI(base_url=nano.url + "/v1", api_key="none", max_retries=0)


def ask(client: openai.OpenAI, text: str, *urls: str, **fields):
    return client.chat.completions.create(**question(text, *urls, **fields))


def test_the_official_client_asks_about_a_picture(client) -> None:
    reply = ask(client, "What is the price?", CARD)
    assert reply.choices[0].message.content == "$1.99"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens_details.image_tokens == 90
    assert [model.id for model in client.models.list()] == ["nano"]


def test_the_official_client_streams(client) -> None:
    chunks = list(
        ask(client, "What is the price?", CARD, stream=True, stream_options={"include_usage": True})
    )
    said = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(said) == "$1.99"
    assert len(said) > 3
    assert chunks[-1].usage.prompt_tokens_details.image_tokens == 90


def test_clips_and_several_pictures(client) -> None:
    clip = {"type": "video_url", "video_url": {"url": CLIP}}
    words = {"type": "text", "text": "Which way does the shape move?"}
    messages = [{"role": "user", "content": [clip, words]}]
    reply = client.chat.completions.create(model="nano", messages=messages)
    assert reply.usage.prompt_tokens_details.image_tokens == 72
    assert reply.choices[0].message.content
    assert ask(client, "Compare", CARD, CARD).usage.prompt_tokens_details.image_tokens == 180


def test_what_the_official_client_may_ask_for(client) -> None:
    reply = ask(
        client, "What is the price?", CARD, n=2, temperature=1.5, seed=5, top_p=0.95,
        logprobs=True, top_logprobs=2, max_completion_tokens=4, user="me",
    )  # fmt: skip
    assert len(reply.choices) == 2
    for choice in reply.choices:
        tokens = choice.logprobs.content
        assert "".join(token.token for token in tokens).startswith(choice.message.content)
        assert all(len(token.top_logprobs) == 2 for token in tokens)
    stopped = ask(client, "What is the price?", CARD, stop=[".9"])
    assert stopped.choices[0].message.content == "$1"


def test_replies_are_json_of_the_schema(client) -> None:
    schema = {
        "type": "object",
        "properties": {"sale": {"type": "boolean"}, "unit": {"enum": ["$", "€"]}},
        "required": ["sale", "unit"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "card", "schema": schema}}
    reply = ask(client, "What is on the card?", CARD, response_format=wanted)
    found = json.loads(reply.choices[0].message.content)
    assert isinstance(found.pop("sale"), bool)
    assert found.pop("unit") in "$€"
    assert not found
    free = ask(client, "Hello", response_format={"type": "json_object"}, max_tokens=8)
    assert free.choices[0].message.content.startswith("{")


def test_products_are_judged_by_a_server_as_by_an_engine_here(nano, tmp_path, capsys) -> None:
    schema = tmp_path / "schema.json"
    choices = {"type": "object", "properties": {"sale": {"enum": ["yes", "no", "unclear"]}}}
    schema.write_text(json.dumps(choices | {"required": ["sale"], "additionalProperties": False}))
    asked = ["caption", str(MEDIA / "card.png"), str(MEDIA / "photograph.jpg")]
    asked += ["--schema", str(schema), "--max-new-tokens", "32", "--out"]
    found = []
    for name, who in (("here", ["--device", "cpu"]), ("there", ["--url", nano.url + "/v1"])):
        with pytest.raises(SystemExit) as stop:
            cli.main([*asked, str(tmp_path / name), *who])
        assert not stop.value.code, capsys.readouterr().err
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        found.append([json.loads(line)["reply"] for line in lines])
    assert found[0] == found[1]
    assert all(reply["sale"] in ("yes", "no", "unclear") for reply in found[0])


def test_errors_reach_the_official_client_as_its_own(client) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        ask(client, "hi", temperature=5)
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
    damaged = base64.b64decode(CARD.partition(",")[2])
    damaged = damaged[: len(damaged) // 2]
    uri = "data:image/png;base64," + base64.b64encode(damaged).decode()
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="whole"):
            ask(client, "hi", uri, stream=stream)


def test_replies_do_not_depend_on_their_mates(nano) -> None:
    questions = [
        ("What is the price?", CARD),
        ("Hello",),
        ("word " * 500, CARD),
        ("Describe", CARD),
    ]

    def answer(number: int) -> str:
        with nano.client() as client:
            body = question(*questions[number % 4], max_tokens=16)
            return str(client.post(CHAT, json=body).json()["choices"][0]["message"])

    alone = [answer(number) for number in range(4)]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(answer, range(16))) == alone * 4


def test_curl_streams(nano) -> None:
    body = json.dumps(question("What is the price?", CARD, stream=True))
    command = ["curl", "-sN", nano.url + CHAT, "-H", "Content-Type: application/json", "-d", "@-"]
    done = subprocess.run(command, input=body, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("data: {")
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_the_commands_of_the_document_work(nano, monkeypatch, capsys) -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    text = text.replace("http://localhost:8000", nano.url).replace("localhost:8000", nano.url)
    started, curl = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    _, verb, *options = started.split()
    typer.main.get_command(cli.app).commands[verb].make_context(verb, options)
    done = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["choices"]
    monkeypatch.chdir(ROOT)
    (block,) = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "serving.md", "exec"), {})
    assert capsys.readouterr().out == "$1.99 90\n"


def test_the_front_never_loads_torch(nano, process) -> None:
    with nano.client() as client:
        assert client.post(CHAT, json=question("What is the price?", CARD)).status_code == 200
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "tokenizers" in maps
    assert "torch" not in maps


def children(process) -> list[int]:
    """The engine, and later the process that waits for its end."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in listed.split()]


def test_a_killed_engine_is_replaced_and_nothing_is_lost_silently(nano, process) -> None:
    with nano.client() as client, nano.client() as other:
        with client.stream("POST", CHAT, json=question("Hello", stream=True, **ENDLESS)) as answer:
            lines = answer.iter_lines()
            for _ in range(20):
                next(lines)
            os.kill(children(process)[0], signal.SIGKILL)
            killed = time.monotonic()
            rest = [line for line in lines if line]
        assert json.loads(rest[-2].removeprefix("data: "))["error"]["code"] == "engine_lost"
        assert rest[-1] == "data: [DONE]"
        assert other.get("/ready").status_code == 503
        assert other.get("/health").status_code == 200
        # Sent while there is no engine, and answered by the next.
        reply = other.post(CHAT, json=question("What is the price?", CARD))
        assert reply.json()["choices"][0]["message"]["content"] == "$1.99"
        print(f"answered again {time.monotonic() - killed:.1f} s after the kill")
        assert other.get("/ready").status_code == 200


def test_it_ends_when_told_to_and_takes_its_engine_along(nano, process) -> None:
    pids = children(process)
    assert pids
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in (0, -signal.SIGTERM)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    log = process.stderr.read()
    assert "POST /v1/chat/completions 200" in log
    assert "price" not in log
    with pytest.raises(httpx.ConnectError):
        httpx.get(nano.url + "/health")
