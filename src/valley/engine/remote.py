"""A model behind an OpenAI-compatible address: its own server, vLLM's, or anybody's."""

from __future__ import annotations

import base64
import json
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from PIL import Image as PILImage

from valley.media.images import open_image
from valley.media.video import Clip
from valley.prompt import parse_reply
from valley.types import FinishReason, Image, Message, Part, Reply, Request, Sampling, Text, Usage

#: Where a key is looked for; it is sent to the one address and written nowhere.
KEY_VARIABLE = "OPENAI_API_KEY"
#: Tries of one request, the first included, and seconds of the longest wait between two.
TRIES, LONGEST_WAIT = 5, 30.0
#: Answers that may come out otherwise a moment later.
PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
_FINISH: Mapping[str, FinishReason] = {"length": "length"}


class RemoteError(RuntimeError):
    """A server that cannot be reached, or that refuses. One line."""


class _Passing(RemoteError):
    """One that another try may mend."""


class RemoteEngine:
    """Requests answered by a server, several at a time, in order.

    `url`: its base, such as `http://localhost:8000/v1`. `model`: the name it serves under; None
    asks it for its first. Pictures are sent as PNG data URIs, clips as the pictures of their
    frames. Limits of vision are sent to a server of ours alone, and prefixes of replies to vLLM's
    (`takes_prefix`): others have no word for them.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        parallel: int = 8,
        timeout: float = 600.0,
        first_wait: float = 1.0,
    ) -> None:
        try:
            import httpx2
        except ImportError:
            raise ValueError(
                "asking a server needs httpx2: pip install 'valley-vlm[eval]'"
            ) from None
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address of a server: write http://HOST:PORT/v1")
        key = os.environ.get(KEY_VARIABLE)
        self.url, self.parallel, self.first_wait = url.rstrip("/"), parallel, first_wait
        self._transport_error: type[Exception] = httpx2.TransportError
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout,
            limits=httpx2.Limits(max_connections=parallel),
        )
        served = self._served(model)
        self.model = model or str(served["id"])
        self.ours = served.get("owned_by") == "valley"
        self.takes_prefix = served.get("owned_by") == "vllm"

    def run(self, requests: Iterable[Request], sampling: Sampling = Sampling()) -> Iterator[Reply]:
        """Replies in order; twice as many requests as run at a time are held at most.

        Raises RemoteError for the first one that fails for good.
        """
        waiting: deque[Future[Reply]] = deque()
        with ThreadPoolExecutor(self.parallel) as pool:
            try:
                for request in requests:
                    waiting.append(pool.submit(self._ask, request, sampling))
                    if len(waiting) >= 2 * self.parallel:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def stream(
        self, request: Request, sampling: Sampling = Sampling()
    ) -> Generator[str, None, Reply]:
        """The pieces as the server sends them. Not tried again: a piece is out already."""
        body = {
            **self._body(request, sampling),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        pieces: list[str] = []
        last: dict[str, Any] = {}
        with (
            self._mended(),
            self._client.stream("POST", f"{self.url}/chat/completions", json=body) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise _refusal(response)
            for line in response.iter_lines():
                if not line.startswith("data:") or line[5:].strip() == "[DONE]":
                    continue
                chunk = json.loads(line[5:])
                choice = (chunk.get("choices") or [{}])[0]
                last |= {name: chunk["usage"] for name in ("usage",) if chunk.get(name)}
                last |= {"finish_reason": reason} if (reason := choice.get("finish_reason")) else {}
                if piece := (choice.get("delta") or {}).get("content"):
                    pieces.append(piece)
                    yield piece
        return _reply("".join(pieces), last.get("finish_reason"), last.get("usage"))

    def _ask(self, request: Request, sampling: Sampling) -> Reply:
        answer = self._call("POST", "/chat/completions", self._body(request, sampling))
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
        except (LookupError, TypeError, AttributeError):
            raise RemoteError(f"{self.url} answers something else than a completion") from None
        if thought := message.get("reasoning_content") or message.get("reasoning"):
            text = f"<think>{thought}</think>{text}"
        return _reply(text, choice.get("finish_reason"), answer.get("usage"))

    def _served(self, model: str | None) -> dict[str, Any]:
        """What the server says about a model, or about its first."""
        try:
            served = self._call("GET", "/models")["data"]
            named = [one for one in served if model in (None, one["id"])]
            return dict(named[0])
        except (LookupError, TypeError, ValueError):
            wanted = f"does not serve {model}" if model else "names no model"
            raise RemoteError(f"{self.url} {wanted}: say which with --model") from None

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [_message(message) for message in request.messages],
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.schema is not None:
            wanted = {"name": "reply", "schema": json.loads(sampling.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if request.prefix:
            if not self.takes_prefix:
                raise ValueError(f"{self.url} cannot be told how a reply begins: vLLM's server can")
            body["messages"].append({"role": "assistant", "content": request.prefix})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        thinking = request.thinking
        if self.ours:
            limits = {name: getattr(request.budget, name) for name in request.budget.set_fields()}
            body["valley"] = limits | ({} if thinking is None else {"thinking": thinking})
        elif thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        return body

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a server's answer, after as many tries as it takes and may."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt
        from tenacity.wait import wait_random_exponential

        tries = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=self.first_wait, max=LONGEST_WAIT),
            retry=retry_if_exception_type(_Passing),
            reraise=True,
        )
        return tries(self._once, method, path, body)

    def _once(self, method: str, path: str, body: Any) -> Any:
        with self._mended():
            response = self._client.request(method, self.url + path, json=body)
        if response.status_code != 200:
            raise _refusal(response)
        try:
            return response.json()
        except ValueError:
            raise RemoteError(f"{self.url} answers something else than JSON") from None

    @contextmanager
    def _mended(self) -> Iterator[None]:
        try:
            yield
        except self._transport_error as error:
            raise _Passing(f"{self.url} cannot be reached ({error}): does it run?") from error


def _refusal(response: Any) -> RemoteError:
    kind = _Passing if response.status_code in PASSING else RemoteError
    return kind(
        f"the server answers {response.status_code}: {' '.join(response.text.split())[:200]}"
    )


def _message(message: Message) -> dict[str, Any]:
    if all(isinstance(part, Text) for part in message.parts):
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [one for part in message.parts for one in _part(part)]}


def _part(part: Part) -> list[dict[str, Any]]:
    if isinstance(part, Text):
        return [{"type": "text", "text": part.text}]
    if isinstance(part.source, Clip):
        return [_picture(frame) for frame in part.source.frames]
    if not isinstance(part, Image):
        raise ValueError(f"a server is sent pictures and opened clips, no {type(part).__name__}")
    opened = isinstance(part.source, PILImage.Image)
    return [_picture(part.source if opened else open_image(part.source))]


def _picture(picture: PILImage.Image) -> dict[str, Any]:
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1)
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _reply(raw: str, finish: str | None, usage: Any) -> Reply:
    parsed = parse_reply(raw)
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text=parsed.text,
        thinking=parsed.thinking,
        cues=parsed.cues,
        usage=Usage(
            int(counts.get("prompt_tokens") or 0), 0, int(counts.get("completion_tokens") or 0)
        ),
        finish_reason=_FINISH.get(finish or "", "stop"),
        raw=raw,
    )
