"""Media are encoded ahead by threads that need nobody to go on."""

from __future__ import annotations

import time
from threading import Event, Lock
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from valley.encoding import Encoded
from valley.serve import preparing
from valley.serve.preparing import THREADS, Preparer
from valley.serve.scheduler import Job
from valley.serve.wire import Ask
from valley.types import Image, Message, Request, Sampling

from .conftest import wait_until


def job(number: int) -> Job:
    request = Request((Message.of("user", str(number)),))
    return Job(number, Ask(request, Sampling()))


def words(ask: Ask) -> int:
    return int(ask.request.messages[0].text)


class Desk:
    """Hands in jobs and takes what is done, as while a long turn of the model goes on."""

    def __init__(self, encode: Any, open: Any = None) -> None:
        self.done: dict[int, Any] = {}
        self.lock = Lock()
        opening = open or (lambda ask: ask.request)
        self.preparer = Preparer(opening, lambda ask, request: encode(ask), self.take)

    def hand_in(self, number: int) -> list[Job]:
        jobs = [job(number) for number in range(number)]
        for one in jobs:
            self.preparer.add(one)
        return jobs

    def take(self, job: Job, result: Any) -> None:
        with self.lock:
            job.encoded = result if isinstance(result, Encoded) else None
            self.done[job.number] = result


def encoded(size: int) -> Encoded:
    return Encoded([1], [1], [], [np.zeros(size, np.uint8)], [])


def test_all_that_waits_is_encoded_without_another_word() -> None:
    desk = Desk(lambda ask: encoded(1))
    desk.hand_in(64)
    wait_until(lambda: len(desk.done) == 64, 10)


def test_a_damaged_one_is_refused_while_others_are_encoded() -> None:
    go = Event()

    def open(ask: Ask) -> Request:
        if words(ask) == 60:
            raise ValueError("damaged")
        return ask.request

    def encode(ask: Ask) -> Encoded:
        go.wait(10)
        return encoded(1)

    desk = Desk(encode, open)
    desk.hand_in(64)
    wait_until(lambda: 60 in desk.done, 10)
    assert list(desk.done) == [60]
    go.set()
    wait_until(lambda: len(desk.done) == 64, 10)


def test_opened_pictures_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "MAX_OPENED", 2 * 3 * 100)
    go, opened = Event(), []

    def open(ask: Ask) -> Request:
        opened.append(words(ask))
        picture = Image(PILImage.new("RGB", (10, 10)))
        return Request((Message.of("user", picture),))

    def encode(ask: Ask) -> Encoded:
        go.wait(10)
        return encoded(1)

    desk = Desk(encode, open)
    desk.hand_in(20)
    wait_until(lambda: len(opened) >= 2, 10)
    time.sleep(0.1)
    assert len(opened) <= 2 + THREADS
    go.set()
    wait_until(lambda: len(desk.done) == 20, 10)


@pytest.mark.parametrize("error", [ValueError("damaged"), KeyboardInterrupt()])
def test_an_error_is_handed_over_and_costs_no_other(error: BaseException) -> None:
    def encode(ask: Ask) -> Encoded:
        if words(ask) % 2:
            raise error
        return encoded(1)

    desk = Desk(encode)
    desk.hand_in(10)
    wait_until(lambda: len(desk.done) == 10, 10)
    assert all(isinstance(desk.done[number], Exception) == bool(number % 2) for number in range(10))


def test_memory_is_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "MAX_ENCODED", 30)
    desk = Desk(lambda ask: encoded(10))
    waiting = desk.hand_in(12)
    wait_until(lambda: len(desk.done) >= 3, 10)
    time.sleep(0.1)
    assert len(desk.done) <= 3 + THREADS - 1
    while len(desk.done) < 12:
        waiting = [one for one in waiting if one.encoded is None]
        desk.preparer.keep(waiting, 11)
        time.sleep(0.01)
    assert sorted(desk.done) == list(range(12))


def test_what_was_cancelled_is_not_encoded() -> None:
    go = Event()

    def encode(ask: Ask) -> Encoded:
        go.wait(10)
        return encoded(1)

    desk = Desk(encode)
    waiting = desk.hand_in(8)
    desk.preparer.keep([one for one in waiting[:7] if one.number != 6], 6)
    go.set()
    wait_until(lambda: len(desk.done) == 7, 10)
    time.sleep(0.05)
    assert sorted(desk.done) == [0, 1, 2, 3, 4, 5, 7]
