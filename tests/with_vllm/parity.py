"""vLLM and the local engine see the same ids and say the same tokens, in float32."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from valley.model.view import native_view
from valley.serve.jobs import Job
from valley.serve.wire import Ask
from valley.types import Request

from .asking import CLIP, REQUESTS, SAMPLING, Answered, about, conversation, local

NAMES = ("nano", "valley2_5-published", "valley2-native", "sail_vl-published", "sail_vl2-native")


@pytest.fixture(scope="module")
def expected(checkpoint: Any) -> dict[str, list[Answered]]:
    return {name: local(checkpoint(name), (*REQUESTS, CLIP)) for name in NAMES}


class Engine:
    """vLLM over a checkpoint, asked through its chat API and through our scheduler."""

    def __init__(self, directory: Path, context: int, answers: list[Answered]) -> None:
        from vllm import LLM

        from valley.serve.vllm_child import DEFAULTS
        from valley.serve.vllm_scheduler import VllmScheduler

        torch.compiler.set_stance("force_eager")
        self.llm = LLM(
            str(directory),
            dtype="float32",
            enforce_eager=True,
            max_model_len=context,
            max_num_batched_tokens=8192,
            kv_cache_memory_bytes=2**29,
            structured_outputs_config=DEFAULTS["structured_outputs_config"],
        )
        self.processor = self.llm.renderer.mm_processor.info.processor
        self.scheduler = VllmScheduler(self.llm.llm_engine, self.processor)
        self.answers = answers

    def chat(self, *requests: Request) -> list[tuple[list[int], tuple[int, ...]]]:
        """Ids of the prompts and tokens of the replies."""
        from vllm import SamplingParams

        params = SamplingParams(temperature=0, max_tokens=SAMPLING.max_new_tokens)
        params.stop_token_ids = sorted(self.scheduler._ends)
        asked = [conversation(request) for request in requests]
        outputs = self.llm.chat(asked, params, use_tqdm=False)
        return [
            (list(output.prompt_token_ids), self._said(output.outputs[0].token_ids))
            for output in outputs
        ]

    def _said(self, tokens: Any) -> tuple[int, ...]:
        return tuple(tokens[:-1] if tokens[-1] in self.scheduler._ends else tokens)

    def run(self, *asks: Ask, harm: Any = lambda encoded: None) -> list[list[dict[str, Any]]]:
        """The events of requests to our scheduler."""
        said: list[list[dict[str, Any]]] = [[] for _ in asks]
        for number, ask in enumerate(asks):
            encoded = self.processor.encode(ask.request)
            harm(encoded)
            self.scheduler.waiting.append(Job(number, ask, encoded))
        while not self.scheduler.idle:
            for event in self.scheduler.turn():
                said[event["id"]].append(event)
        return said


@pytest.fixture(scope="module", params=NAMES)
def engine(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint: Any,
    expected: dict[str, list[Answered]],
) -> Iterator[Engine]:
    name = request.param
    directory = native_view(checkpoint(name), tmp_path_factory.mktemp("view") / name)
    yield Engine(directory, 4096 if name == "nano" else 16_384, expected[name])
    gc.collect()


def text_of(events: list[dict[str, Any]], choice: int = 0) -> str:
    return "".join(event["text"] for event in events if event.get("choice") == choice)


def test_prompts_and_greedy_replies_are_equal(engine: Engine) -> None:
    wanted = [(item.ids, item.reply.token_ids) for item in engine.answers[: len(REQUESTS)]]
    assert engine.chat(*REQUESTS) == wanted
    # One by one, in another order: what was kept of a picture beside others is not taken for one
    # that is alone.
    assert [engine.chat(request)[0] for request in REQUESTS[::-1]] == wanted[::-1]


def test_our_scheduler_says_the_same(engine: Engine) -> None:
    asks = [Ask(request, SAMPLING) for request in (*REQUESTS, CLIP)]
    for events, wanted in zip(engine.run(*asks), engine.answers, strict=True):
        assert "started" in events[0]
        assert text_of(events) == wanted.reply.raw
        last = events[-1]
        assert last["finish"] == wanted.reply.finish_reason
        assert last["tokens"] == wanted.reply.usage.completion_tokens


def test_a_wrong_number_of_tokens_is_refused_before_the_engine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shorten(encoded: Any) -> None:
        if engine.processor.image_token_id in encoded.input_ids:
            encoded.input_ids.remove(engine.processor.image_token_id)

    (refused,) = engine.run(Ask(REQUESTS[1], SAMPLING), harm=shorten)
    assert [(event["status"], "placeholders" in event["failed"]) for event in refused] == [
        (400, True)
    ]
    count = engine.processor._get_num_multimodal_tokens

    def miscounted(sizes: Any, **limits: Any) -> Any:
        counted = count(sizes, **limits)
        more = [number + 1 for number in counted.num_image_patches]
        return replace(counted, num_image_patches=more)

    monkeypatch.setattr(engine.processor, "_get_num_multimodal_tokens", miscounted)
    with pytest.raises(ValueError, match="rows of pixels"):
        engine.chat(about("What is it?", REQUESTS[5].messages[0].parts[0].source.rotate(90)))
    monkeypatch.undo()
    assert engine.chat(REQUESTS[0])[0][0] == engine.answers[0].ids


def test_what_a_request_may_ask_for(engine: Engine) -> None:
    raw = engine.answers[1].reply.raw
    stop = raw[len(raw) // 2 :][:3]
    schema = '{"type": "array", "items": {"const": 7}, "minItems": 3, "maxItems": 3}'
    drawn = replace(SAMPLING, temperature=2.0, top_k=50, top_p=1.0, seed=5, max_new_tokens=6)
    ask = Ask(REQUESTS[1], SAMPLING)
    stopped, held, first, again = engine.run(
        replace(ask, sampling=replace(SAMPLING, stop=(stop,))),
        replace(ask, sampling=replace(SAMPLING, schema=schema)),
        replace(ask, sampling=drawn, choices=8, log_probs=2),
        replace(ask, sampling=drawn, choices=8),
    )
    assert text_of(stopped) == raw[: raw.index(stop)]
    assert stopped[-1]["finish"] == "stop"
    assert text_of(held) == "[7,7,7]"
    texts = [text_of(first, choice) for choice in range(8)]
    assert texts == [text_of(again, choice) for choice in range(8)]
    assert len(set(texts)) > 1
    reports = [event["log_probs"] for event in first if "log_probs" in event]
    assert len(reports) > 6
    for report in reports:
        likely = [item["logprob"] for item in report["top_logprobs"]]
        assert len(likely) == 2
        assert likely == sorted(likely, reverse=True)
        assert report["logprob"] <= likely[0]


def test_a_cancelled_request_leaves(engine: Engine) -> None:
    scheduler = engine.scheduler
    for number, request in enumerate(REQUESTS[:2]):
        ask = Ask(request, replace(SAMPLING, max_new_tokens=200))
        scheduler.waiting.append(Job(number, ask, engine.processor.encode(request)))
    scheduler.turn()
    assert len(scheduler.running) == 2
    scheduler.cancel(0)
    assert {row.job.number for row in scheduler.running.values()} <= {1}
    scheduler.cancel(1)
    assert scheduler.idle
    assert scheduler.turn() == []
