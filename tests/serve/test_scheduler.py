"""Many requests over one model: each reply as if it were alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from valley.engine.local import LocalEngine
from valley.model.files import NANO
from valley.planning import Planner
from valley.schema import schema_text
from valley.serve.jobs import Job
from valley.serve.scheduler import Scheduler
from valley.serve.wire import Ask
from valley.types import Image, Message, Request, Sampling

MEDIA = Path(__file__).parents[2] / "examples" / "media"
CARD = (MEDIA / "card.png").read_bytes()
LONG = "word " * 700


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    torch.set_num_threads(1)
    return LocalEngine.from_checkpoint(NANO, device="cpu", dtype="float32")


class Desk:
    """A scheduler and what it said to each request."""

    def __init__(self, engine: LocalEngine, **options) -> None:
        self.engine, self.scheduler = engine, Scheduler(engine, **options)
        self.planner = Planner.of(NANO)
        self.said: dict[int, list[dict]] = {}
        self.order: list[tuple[int, str]] = []

    def ask(self, text: str, *pictures: bytes, choices=1, log_probs=None, **sampling) -> int:
        parts = [Image(picture) for picture in pictures]
        request = self.planner.open(Request((Message.of("user", *parts, text),)))
        encoded = self.engine.processor.encode(request)
        number = len(self.said)
        sampling = Sampling(**{"max_new_tokens": 24} | sampling)
        ask = Ask(request, sampling, choices, log_probs, len(encoded.input_ids))
        self.said[number] = []
        self.scheduler.waiting.append(Job(number, ask, encoded))
        return number

    def turn(self) -> None:
        for event in self.scheduler.turn():
            self.said[event["id"]].append(event)
            self.order.append((event["id"], "started" if "started" in event else "token"))

    def finish(self) -> None:
        while not self.scheduler.idle:
            self.turn()

    def text(self, number: int, choice: int = 0) -> str:
        events = [e for e in self.said[number] if e.get("choice") == choice]
        return "".join(event["text"] for event in events)


QUESTIONS = (
    ("Hello",),
    ("What is the price?", CARD),
    ("What is the title?", CARD),
    ("Describe the picture in many words.", CARD),
    (LONG,),
)


def test_greedy_replies_are_those_of_the_local_engine(engine) -> None:
    desk = Desk(engine, fill_tokens=100)
    numbers = [desk.ask(*question) for question in QUESTIONS]
    desk.finish()
    for number, (text, *pictures) in zip(numbers, QUESTIONS, strict=True):
        parts = [Image(picture) for picture in pictures]
        request = desk.planner.open(Request((Message.of("user", *parts, text),)))
        reply = next(engine.run([request], Sampling(max_new_tokens=24)))
        assert desk.text(number) == reply.raw
        last = desk.said[number][-1]
        assert (last["finish"], last["tokens"]) == (
            reply.finish_reason,
            reply.usage.completion_tokens,
        )


def test_a_seeded_reply_does_not_depend_on_its_mates(engine) -> None:
    options = {"temperature": 2.0, "top_p": 0.99, "seed": 7, "choices": 2}
    alone = Desk(engine)
    alone.ask("Hello", **options)
    alone.finish()
    crowd = Desk(engine)
    crowd.ask(LONG)
    number = crowd.ask("Hello", **options)
    crowd.ask("What is it?", temperature=1.0)
    crowd.finish()
    for choice in (0, 1):
        assert crowd.text(number, choice) == alone.text(0, choice)
    assert alone.text(0, 0) != alone.text(0, 1)


def test_a_long_prompt_neither_starves_nor_stops_the_others(engine) -> None:
    desk = Desk(engine, fill_tokens=64, max_rows=2)
    desk.ask("Hello", max_new_tokens=20)
    desk.turn()
    long = desk.ask(LONG)
    short = [desk.ask("Hello") for _ in range(3)]
    desk.finish()
    begun = desk.order.index((long, "started"))
    first = desk.order.index((long, "token"))
    assert (0, "token") in desk.order[begun:first]
    assert all(desk.order.index((number, "started")) > begun for number in short)
    assert all(desk.said[number][-1]["finish"] for number in (0, long, *short))


@pytest.mark.parametrize(("tokens", "most"), [(1000, 3), (120, 2)])
def test_rows_and_columns_are_bounded(engine, tokens, most) -> None:
    desk = Desk(engine, max_rows=3, max_tokens=tokens)
    for _ in range(7):
        desk.ask("Hello", max_new_tokens=40)
    seen = set()
    while not desk.scheduler.idle:
        desk.turn()
        seen.add(len(desk.scheduler.running))
    assert max(seen) == most
    desk.ask(LONG)  # more than fits beside others, and answered alone
    desk.finish()
    assert desk.said[7][-1]["finish"]


def place(scheduler: Scheduler, number: int) -> str:
    """Where a request is."""
    if any(job.number == number for job in scheduler.waiting):
        return "waiting"
    return "running" if any(r.job.number == number for r in scheduler.running) else "filling"


@pytest.mark.parametrize("where", ["waiting", "filling", "running"])
def test_a_cancelled_request_leaves_wherever_it_is(engine, where) -> None:
    desk = Desk(engine, fill_tokens=64)
    kept = desk.ask("What is the price?", CARD)
    numbers = schema_text({"type": "array", "items": {"type": "integer"}, "minItems": 400})
    gone = desk.ask(LONG, max_new_tokens=500, schema=numbers, temperature=1.0, seed=1)
    for _ in range(100):
        if place(desk.scheduler, gone) == where:
            break
        desk.turn()
    assert place(desk.scheduler, gone) == where
    desk.scheduler.cancel(gone)
    before = len(desk.said[gone])
    desk.finish()
    assert len(desk.said[gone]) == before
    assert not any(event.get("finish") for event in desk.said[gone])
    assert desk.text(kept) == "$1.99"
    assert desk.scheduler.idle


def test_log_probabilities_are_the_models_own(engine) -> None:
    desk = Desk(engine)
    number = desk.ask("What is the price?", CARD, log_probs=3)
    desk.finish()
    reports = [e["log_probs"] for e in desk.said[number] if "log_probs" in e]
    assert bytes(byte for r in reports for byte in r["bytes"]).decode() == desk.text(number)
    for report in reports:
        values = [item["logprob"] for item in report["top_logprobs"]]
        assert values == sorted(values, reverse=True)
        assert len(values) == 3
        assert report["logprob"] == values[0] <= 0


def test_stop_strings_and_schemas(engine) -> None:
    desk = Desk(engine)
    stopped = desk.ask("What is the price?", CARD, stop=(".9",))
    schema = schema_text({"type": "array", "items": {"const": 7}, "minItems": 3, "maxItems": 3})
    held = desk.ask("Hello", schema=schema)
    free = desk.ask("Hello")
    desk.finish()
    assert desk.text(stopped) == "$1"
    assert desk.said[stopped][-1]["finish"] == "stop"
    assert desk.text(held) == "[7,7,7]"
    assert desk.text(free) == "I cannot tell from this picture."


def test_a_loop_is_cut_short(engine) -> None:
    schema = schema_text({"type": "array", "items": {"const": 7}, "minItems": 400})
    desk = Desk(engine)
    number = desk.ask("Hello", schema=schema, max_new_tokens=400)
    desk.finish()
    assert desk.said[number][-1]["finish"] == "repetition"


def test_a_schema_that_only_the_engine_refuses_harms_nobody(engine) -> None:
    desk = Desk(engine)
    bad = desk.ask("Hello", schema='{"type": "nothing"}')
    good = desk.ask("What is the price?", CARD)
    desk.finish()
    assert [event.get("status") for event in desk.said[bad]] == [400]
    assert desk.text(good) == "$1.99"


def test_one_bad_request_does_not_harm_its_mates(engine) -> None:
    desk = Desk(engine)
    good = desk.ask("What is the price?", CARD)
    bad = desk.ask("What is the title?", CARD)
    desk.scheduler.waiting[-1].encoded.input_ids.remove(engine.model.config.image_token_id)
    desk.finish()
    assert desk.text(good) == "$1.99"
    assert [sorted(event) for event in desk.said[bad]] == [["failed", "id", "status"]]
