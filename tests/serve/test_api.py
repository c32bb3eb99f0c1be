"""The API as clients see it, over an engine that says what it is told to say."""

from __future__ import annotations

import base64
import json
import math
import time

import pytest

from valley.serve import routes

from .conftest import MEDIA, question, wait_until

CHAT = "/v1/chat/completions"
CARD = "data:image/png;base64," + base64.b64encode((MEDIA / "card.png").read_bytes()).decode()
CLIP = "data:video/mp4;base64," + base64.b64encode((MEDIA / "clip.mp4").read_bytes()).decode()


def events(answer) -> list:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def error(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_a_reply_whole(echo) -> None:
    with echo.client() as client:
        answer = client.post(CHAT, json=question("say: Hello you", CARD)).json()
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == "Hello you"
    assert choice["message"]["reasoning_content"] is None
    assert choice["finish_reason"] == "stop"
    assert choice["valley"]["queued_seconds"] == 0.25
    usage = answer["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 90
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_reply_in_chunks(echo) -> None:
    body = question("say: <think>so it is</think>Hello you", stream=True)
    with echo.client() as client:
        answer = client.post(CHAT, json=body | {"stream_options": {"include_usage": True}})
    *chunks, last, done = events(answer)
    assert done == "[DONE]"
    assert answer.headers["content-type"].startswith("text/event-stream")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "so it is"
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello you"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert last["choices"] == [] and last["usage"]["completion_tokens"] > 5
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_boxes_are_in_pixels_of_the_picture_sent(echo, stream) -> None:
    body = question("say: <cor>[0.5, 0.25, 1, 1]<\\cor>", CARD, stream=stream)
    with echo.client() as client:
        answer = client.post(CHAT, json=body)
    found = events(answer)[-2] if stream else answer.json()
    assert found["choices"][0]["valley"]["boxes"] == [
        {"box": [126.0, 70.0, 252.0, 280.0], "label": "", "picture": 0}
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_tags_in_the_strings_of_a_json_reply_are_words(echo, stream) -> None:
    said = '{"a": "<answer>x</answer>", "b": "<think>"}'
    wanted = {"response_format": {"type": "json_object"}, "stream": stream}
    with echo.client() as client:
        answer = client.post(CHAT, json=question(f"say: {said}", **wanted))
    if stream:
        deltas = [chunk["choices"][0]["delta"] for chunk in events(answer)[:-1]]
        assert "".join(delta.get("content", "") for delta in deltas) == said
    else:
        assert answer.json()["choices"][0]["message"]["content"] == said


def test_several_choices(echo) -> None:
    with echo.client() as client:
        answer = client.post(CHAT, json=question("say: Hello", n=3)).json()
        chunks = events(client.post(CHAT, json=question("say: Hello", n=3, stream=True)))
    assert [c["message"]["content"] for c in answer["choices"]] == ["Hello"] * 3
    said = {0: "", 1: "", 2: ""}
    for choice in (choice for chunk in chunks[:-1] for choice in chunk["choices"]):
        said[choice["index"]] += choice["delta"].get("content", "")
    assert said == {0: "Hello", 1: "Hello", 2: "Hello"}


def test_what_a_request_costs_before_it_is_sent(echo) -> None:
    body = question("hi", CARD)
    video = {"type": "video_url", "video_url": {"url": CLIP}}
    body["messages"][0]["content"].insert(1, video)
    with echo.client() as client:
        counted = client.post("/v1/count", json=body).json()
        answer = client.post(CHAT, json=body).json()
        smaller = client.post("/v1/count", json=body | {"valley": {"max_frames": 2}}).json()
    assert counted["prompt_tokens"] == answer["usage"]["prompt_tokens"]
    assert counted["visual_tokens"] == answer["usage"]["prompt_tokens_details"]["image_tokens"]
    picture, clip = counted["media"]
    assert (picture["size"], picture["frames"], picture["tokens"]) == ([252, 280], 1, 90)
    assert (clip["frames"], clip["tokens"]) == (8, 72)
    assert smaller["media"][1]["frames"] == 2


def test_an_engine_that_refuses_is_a_400_even_for_a_stream(echo) -> None:
    with echo.client() as client:
        for stream in (False, True):
            answer = client.post(CHAT, json=question("refuse", stream=stream))
            assert error(answer, 400)["message"] == "the picture is damaged"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_is_forgotten(echo, stream) -> None:
    with echo.client() as client:

        def running() -> float:
            lines = client.get("/metrics").text.splitlines()
            return next(float(x.split()[1]) for x in lines if x.startswith("valley_running "))

        assert running() == 0
        with echo.client() as leaving:
            if stream:
                with leaving.stream("POST", CHAT, json=question("forever", stream=True)) as answer:
                    lines = answer.iter_lines()
                    next(lines)
                    wait_until(lambda: running() == 1)
            else:
                with pytest.raises(Exception, match=r"timed out|[Tt]imeout"):
                    leaving.post(CHAT, json=question("forever"), timeout=0.3)
        wait_until(lambda: running() == 0)


def test_an_engine_that_dies_ends_its_streams_with_an_error_and_comes_back(servers) -> None:
    server = servers()
    with server.client() as client, server.client() as other:
        with other.stream("POST", CHAT, json=question("forever", stream=True)) as mate:
            lines = mate.iter_lines()
            next(lines)
            dying = events(client.post(CHAT, json=question("die", stream=True)))
            assert client.get("/ready").status_code == 503
            rest = [line for line in lines if line]
        for last, done in (dying[-2:], [json.loads(rest[-2][6:]), rest[-1][6:]]):
            assert last["error"]["code"] == "engine_lost"
            assert done == "[DONE]"
        # What a request costs or lacks is said meanwhile; one that is right waits.
        assert client.post("/v1/count", json=question("hi")).status_code == 200
        error(client.post(CHAT, json=question("hi", n=0)), 400)
        assert client.get("/ready").status_code == 503
        answer = client.post(CHAT, json=question("say: back"))
        assert answer.json()["choices"][0]["message"]["content"] == "back"
        lost = client.post(CHAT, json=question("die"))
        assert error(lost, 503)["code"] == "engine_lost"
        wait_until(lambda: client.get("/ready").status_code == 200)


def test_an_engine_that_hangs_is_ended_like_one_that_dies(servers) -> None:
    server = servers(stall_seconds=1.0)
    with server.client() as client, server.client() as other:
        # An engine that goes on is left alone, however long it takes, and so is one at rest.
        with other.stream("POST", CHAT, json=question("forever", stream=True)) as endless:
            lines = endless.iter_lines()
            started = time.monotonic()
            while time.monotonic() - started < 2.5:
                assert "error" not in next(lines)
        time.sleep(1.5)
        assert starts(client) == 1
        hung = events(client.post(CHAT, json=question("hang", stream=True)))
        assert hung[-2]["error"]["code"] == "engine_lost"
        assert hung[-1] == "[DONE]"
        assert client.get("/ready").status_code == 503
        answer = client.post(CHAT, json=question("say: back"))
        assert answer.json()["choices"][0]["message"]["content"] == "back"
        assert starts(client) == 2


def starts(client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(x.split()[1]) for x in lines if x.startswith("valley_engine_starts "))


@pytest.mark.parametrize(
    ("change", "blamed"),
    [
        ({"model": "other"}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "user"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 2**70}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"top_logprobs": 2}, "logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"valley": {"max_pixel": 5}}, "max_pixel"),
        ({"valley": {"max_tiles": 5}}, "max_tiles"),
        ({"valley": {"thinking": True}}, "thinking"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(echo, change, blamed) -> None:
    body = json.dumps(question("hi") | change)
    with echo.client() as client:
        answer = client.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    found = error(answer, 404 if "model" in change else 400)
    assert blamed in f"{found['param']} {found['message']}"
    assert found["type"] == "invalid_request_error"


def test_a_schema_that_cannot_be_followed_is_refused(echo) -> None:
    with echo.client() as client:
        for schema in (
            {"type": "nothing"},
            {"$ref": "#/nowhere"},
            {"pattern": "(", "type": "string"},
        ):
            wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
            answer = client.post(CHAT, json=question("hi", response_format=wanted))
            assert error(answer, 400)["param"] == "response_format"


def test_what_has_no_effect_is_accepted(echo) -> None:
    extra = {"user": "me", "metadata": {"a": "b"}, "store": False, "presence_penalty": 0}
    extra |= {"frequency_penalty": 0.0, "tools": [], "logit_bias": {}, "stream": None, "stop": None}
    with echo.client() as client:
        assert client.post(CHAT, json=question("say: yes", **extra)).status_code == 200


def test_the_page_is_shown_to_everybody(servers, tmp_path, monkeypatch) -> None:
    (tmp_path / "index.html").write_text("<p>Größe</p>", encoding="utf-8")
    monkeypatch.setattr(routes, "PAGE", tmp_path)
    with servers(api_keys=("a-key-for-this",)).client() as client:
        answer = client.get("/")
        assert answer.text == "<p>Größe</p>"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert client.get("/v1/models").status_code == 401


def test_other_paths(echo) -> None:
    with echo.client() as client:
        assert "chat/completions" in error(client.post("/v1/completions", json={}), 404)["message"]
        error(client.get("/nothing"), 404)
        assert client.get(CHAT).headers["allow"] == "POST"
        error(client.get(CHAT), 405)
        assert client.get("/v1/models").json()["data"][0]["id"] == "nano"
        assert client.get("/health").json() == {"status": "ok"}
        text = client.get("/metrics").text
        assert 'valley_requests_total{route="other",status="404"}' in text
        assert "valley_engine_ready 1.0" in text
        for body in (b"", b"{", b"[]", b"null", b'"\\ud800"', b"\xff", b"[" * 100_000):
            answer = client.post(CHAT, content=body, headers={"Content-Type": "application/json"})
            error(answer, 400)
