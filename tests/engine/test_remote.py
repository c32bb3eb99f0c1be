"""A model behind an address: what is sent, what is read, what is tried again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any

import pytest
from PIL import Image as PILImage

from valley.engine import remote
from valley.engine.remote import RemoteEngine, RemoteError
from valley.media.video import Clip
from valley.types import Budget, Image, Message, Request, Sampling, Text, Usage, Video

Answer = Callable[[dict[str, Any]], tuple[int, Any]]


class Server(ThreadingHTTPServer):
    """Answers as `answer` says and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.owner = "somebody"
        self.answer: Answer = lambda body: (200, completion(words(body)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        models = [{"id": "first", "owned_by": self.server.owner}, {"id": "other"}]
        self.send(200, {"data": models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.headers.append(dict(self.headers))
        self.send(*self.server.answer(body))

    def send(self, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def words(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


def completion(text: str, **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": text, **more}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


def request(text: str = "Hi", **more: Any) -> Request:
    return Request((Message.of("user", text),), **more)


def engine(server: Server, **options: Any) -> RemoteEngine:
    return RemoteEngine(server.url, first_wait=0.0, **options)


def test_replies_come_in_order_and_are_read(server: Server) -> None:
    asking = engine(server, parallel=4)
    replies = list(asking.run((request(str(i)) for i in range(30)), Sampling(max_new_tokens=9)))
    assert [reply.text for reply in replies] == [str(i) for i in range(30)]
    assert replies[0].usage == Usage(7, 0, 2)
    body = server.asked[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("first", 9, 0.0)
    assert "Authorization" not in server.headers[0]


def test_requests_are_read_as_they_are_needed(server: Server) -> None:
    read: list[int] = []

    def requests() -> Iterator[Request]:
        for number in range(100):
            read.append(number)
            yield request(str(number))

    replies = engine(server, parallel=2).run(requests())
    next(replies)
    assert len(read) <= 5
    replies.close()  # type: ignore[attr-defined]


def test_pictures_and_clips_are_sent_as_they_are(server: Server) -> None:
    red, blue = PILImage.new("RGB", (5, 4), "red"), PILImage.new("RGB", (3, 3), "blue")
    parts = (Image(red), Video(Clip((blue, red), (0.0, 1.0), "clip", 1.0, 2)), Text("What?"))
    next(engine(server).run([Request((Message("user", parts),))]))
    content = server.asked[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url"] * 3 + ["text"]
    head, _, data = content[1]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    with PILImage.open(BytesIO(base64.b64decode(data))) as seen:
        assert seen.tobytes() == blue.tobytes()


def test_reasoning_is_read_from_either_place(server: Server) -> None:
    server.answer = lambda body: (200, completion("B", reasoning_content="so"))
    reply = next(engine(server).run([request()]))
    assert (reply.text, reply.thinking, reply.raw) == ("B", "so", "<think>so</think>B")
    server.answer = lambda body: (200, completion("<think>so</think><answer>B</answer>"))
    assert next(engine(server).run([request()])).text == "B"


def test_limits_and_thinking_are_said_in_the_words_of_the_server(server: Server) -> None:
    asked = request(budget=Budget(max_pixels=1000), thinking=False)
    next(engine(server).run([asked]))
    server.owner = "valley"
    next(engine(server).run([asked]))
    others, ours = server.asked
    assert others["chat_template_kwargs"] == {"enable_thinking": False}
    assert "valley" not in others
    assert ours["valley"] == {"max_pixels": 1000, "thinking": False}
    assert "chat_template_kwargs" not in ours


def test_a_schema_is_asked_for_as_the_api_has_it(server: Server) -> None:
    next(engine(server).run([request()], Sampling(schema='{"type": "object"}')))
    next(engine(server).run([request()]))
    wanted = {"name": "reply", "schema": {"type": "object"}}
    assert server.asked[0]["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert "response_format" not in server.asked[1]


def test_a_prefix_is_sent_where_the_server_takes_one(server: Server) -> None:
    begun = request("Which?", prefix="Best option:(")
    with pytest.raises(ValueError, match="cannot be told how a reply begins"):
        next(engine(server).run([begun]))
    assert server.asked == []
    server.owner = "vllm"
    next(engine(server).run([begun]))
    (body,) = server.asked
    assert body["messages"][-1] == {"role": "assistant", "content": "Best option:("}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize("status", [429, 503])
def test_what_may_pass_is_tried_again(server: Server, status: int) -> None:
    server.answer = lambda body: (status if len(server.asked) < 3 else 200, completion("ok"))
    assert next(engine(server).run([request()])).text == "ok"
    assert len(server.asked) == 3


def test_tries_end(server: Server) -> None:
    server.answer = lambda body: (500, {"error": {"message": "out of\nmemory"}})
    with pytest.raises(RemoteError, match=r"answers 500.*out of"):
        next(engine(server).run([request()]))
    assert len(server.asked) == remote.TRIES


@pytest.mark.parametrize(
    ("status", "answer", "problem"),
    [
        (400, {"error": "too long"}, "answers 400.*too long"),
        (200, b"<html>", "something else than JSON"),
        (200, {"choices": []}, "something else than a completion"),
        (200, [], "something else than a completion"),
    ],
)
def test_a_refusal_is_not_tried_again(
    server: Server, status: int, answer: Any, problem: str
) -> None:
    server.answer = lambda body: (status, answer)
    with pytest.raises(RemoteError, match=problem):
        next(engine(server).run([request()]))
    assert len(server.asked) == 1


def test_a_stream_comes_in_pieces(server: Server) -> None:
    chunks: list[Any] = [{"choices": [{"delta": {"content": piece}}]} for piece in ("a", "b")]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "length"}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
    server.answer = lambda body: (200, "".join(lines).encode())
    stream = engine(server).stream(request())
    assert [next(stream), next(stream)] == ["a", "b"]
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert (end.value.value.text, end.value.value.finish_reason) == ("ab", "length")
    assert end.value.value.usage == Usage(5, 0, 2)
    server.answer = lambda body: (400, {"error": "no"})
    with pytest.raises(RemoteError, match="400"):
        next(engine(server).stream(request()))


def test_the_key_of_the_environment_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    asking = engine(server, model="other")
    next(asking.run([request()]))
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.asked[0]["model"] == "other"
    server.answer = lambda body: (401, {})
    with pytest.raises(RemoteError) as refused:
        next(asking.run([request()]))
    assert "secret" not in str(refused.value)


def test_wrong_addresses_and_models_are_named(server: Server) -> None:
    with pytest.raises(ValueError, match="no address of a server"):
        RemoteEngine("localhost:8000")
    with pytest.raises(RemoteError, match="does not serve third"):
        engine(server, model="third")
    url = server.url
    server.server_close()
    with pytest.raises(RemoteError, match="cannot be reached"):
        RemoteEngine(url, first_wait=0.0)
