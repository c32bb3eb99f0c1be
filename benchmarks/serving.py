"""A server under load: is every request answered, how soon, and does memory stay put?

    python benchmarks/serving.py [--clients 64] [--seconds 120] [--requests 10000]
                                 [--tokens 8 16 48]

Clients ask `valley serve` over nano without a pause: words, one to four pictures, clips, streams
that are left half-read, and a fifth of bodies that are wrong: until a fifth of the requests were
made, then, after a moment's rest in which resident memory is read, until all were and some seconds
are over; then it is read again.
Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

MEDIA = Path(__file__).parent.parent / "examples" / "media"
CHAT = "/v1/chat/completions"
WRONG = 0.2
#: Tokens of replies, one of which a request asks for.
TOKENS = [8, 16, 48]
#: A stream is left after this many lines.
LINES_READ = 6


def uri(name: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode((MEDIA / name).read_bytes()).decode()}"


CARD, PHOTO = uri("card.png", "image/png"), uri("photograph.jpg", "image/jpeg")
CLIP = uri("clip.mp4", "video/mp4")


def part(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def body(dice: random.Random) -> dict[str, Any]:
    """A request that can be answered."""
    media = dice.choice(
        [
            [],
            [part("video_url", CLIP)],
            *[[part("image_url", dice.choice([CARD, PHOTO]))] * n for n in (1, 1, 2, 4)],
        ]
    )
    words = dice.choice(["What is the price?", "Describe this.", "Which way does it move? " * 9])
    message = {"role": "user", "content": [*media, {"type": "text", "text": words}]}
    tokens = dice.choice(TOKENS)
    return {"model": "nano", "messages": [message], "max_tokens": tokens, "temperature": 1}


def wrong(dice: random.Random) -> tuple[str, bytes]:
    """A body that must be refused, and what is wrong with it."""
    good = body(dice)
    damaged = part("image_url", CARD[: len(CARD) // 2 // 4 * 4 + 2])
    cases: dict[str, Any] = {
        "no messages": {"model": "nano"},
        "another model": good | {"model": "other"},
        "a value out of range": good | {"temperature": 9},
        "too many tokens": good | {"max_tokens": 10**6},
        "an unknown field": good | {"unheard_of": 1},
        "a damaged picture": good | {"messages": [{"role": "user", "content": [damaged]}]},
        "a file": good
        | {"messages": [{"role": "user", "content": [part("image_url", "/etc/passwd")]}]},
        "no schema": good | {"response_format": {"type": "json_schema"}},
    }
    bodies = {name: json.dumps(case).encode() for name, case in cases.items()}
    return dice.choice([("no JSON", b"{"), ("no text", b"\xff\xfe"), *bodies.items()])


@dataclass
class Found:
    """What the clients saw. Seconds: of refusals, with what was wrong, of waiting in the queue, of
    whole answers."""

    kinds: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[float, str]] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.kinds.values())


class Clients:
    """Clients of one server, who ask until `going` is false."""

    def __init__(self, url: str, found: Found) -> None:
        self.found, self.going = found, True
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(base_url=url, timeout=120, limits=limits)

    async def one(self, number: int) -> None:
        dice = random.Random(number)
        while self.going:
            kind = "wrong" if dice.random() < WRONG else dice.choice(["whole", "whole", "left"])
            self.found.kinds[kind] += 1
            try:
                await getattr(self, kind)(dice)
            except (httpx.HTTPError, AssertionError, KeyError) as error:
                self.found.failures[f"{kind}: {type(error).__name__} {error}"[:100]] += 1

    async def wrong(self, dice: random.Random) -> None:
        headers = {"Content-Type": "application/json"}
        what, content = wrong(dice)
        started = time.monotonic()
        answer = await self.http.post(CHAT, content=content, headers=headers)
        self.found.refused.append((time.monotonic() - started, what))
        assert 400 <= answer.status_code < 500, answer.status_code

    async def whole(self, dice: random.Random) -> None:
        asked, started = body(dice), time.monotonic()
        answer = await self.http.post(CHAT, json=asked)
        self.found.answered.append(time.monotonic() - started)
        assert answer.status_code == 200, answer.status_code
        self.found.queued.append(answer.json()["choices"][0]["valley"]["queued_seconds"])

    async def left(self, dice: random.Random) -> None:
        async with self.http.stream("POST", CHAT, json=body(dice) | {"stream": True}) as answer:
            assert answer.status_code == 200, answer.status_code
            lines = answer.aiter_lines()
            for _ in range(LINES_READ):
                assert "error" not in await anext(lines, "")


@contextmanager
def server() -> Iterator[tuple[str, psutil.Process]]:
    """`valley serve` on a free port, ready to answer."""
    command = [sys.executable, "-m", "valley", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            while httpx.get(url + "/ready").status_code != 200:
                time.sleep(0.2)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


def resident(front: psutil.Process) -> tuple[float, float]:
    """MiB of the front and of its engine, the first of its children."""
    engine = min(front.children(), key=lambda child: child.create_time())
    return front.memory_info().rss / 2**20, engine.memory_info().rss / 2**20


async def load(
    url: str, front: psutil.Process, clients: int, seconds: float, requests: int
) -> tuple[Found, dict[int, tuple[float, float]]]:
    """All clients at work for so long and for so many requests; memory by requests made."""
    found, memory = Found(), {}
    for first, least, long in ((0, requests // 5, 0.0), (clients, requests, seconds)):
        group, started = Clients(url, found), time.monotonic()
        tasks = [asyncio.create_task(group.one(first + n)) for n in range(clients)]
        while time.monotonic() - started < long or found.requests < least:
            await asyncio.sleep(0.1)
        group.going = False
        await asyncio.gather(*tasks)
        await group.http.aclose()
        await asyncio.sleep(1)
        memory[found.requests] = resident(front)
    return found, memory


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    asked = parser.parse_args()
    TOKENS[:] = asked.tokens
    with server() as (url, front):
        started = time.monotonic()
        found, memory = asyncio.run(load(url, front, asked.clients, asked.seconds, asked.requests))
        took = time.monotonic() - started
    (few, before), (many, after) = list(memory.items())
    growth = max(b / a for a, b in zip(before, after, strict=True)) - 1
    soon, (last, slowest) = quantile([s for s, _ in found.refused], 0.95), max(found.refused)
    kinds = found.kinds
    rows = [
        (f"requests from {asked.clients} clients in {took:.0f} s", found.requests, ""),
        ("of them left half-read / wrong", f"{kinds['left']} / {kinds['wrong']}", ""),
        ("answered wrongly or not at all", sum(found.failures.values()), "0"),
        ("requests a second", found.requests / took, ""),
        ("queueing, median, s", statistics.median(found.queued), ""),
        ("queueing, 99 of 100 within, s", quantile(found.queued, 0.99), ""),
        ("whole answers, 99 of 100 within, s", quantile(found.answered, 0.99), ""),
        ("refusals, 95 of 100 within, s", soon, "below 1"),
        (f"refusals, all within, s (the slowest: {slowest})", last, "below 5"),
        (f"front after {few} / {many} requests, MiB", f"{before[0]:.0f} / {after[0]:.0f}", ""),
        (f"engine after {few} / {many} requests, MiB", f"{before[1]:.0f} / {after[1]:.0f}", ""),
        ("growth of either, %", 100 * growth, "at most 5"),
    ]
    print("| what | seen | target |\n|---|---|---|")
    for name, seen, target in rows:
        print(f"| {name} | {seen if isinstance(seen, (int, str)) else f'{seen:.2f}'} | {target} |")
    for problem, count in found.failures.most_common(10):
        print(f"{count} x {problem}", file=sys.stderr)
    return int(bool(found.failures) or soon >= 1 or last >= 5 or growth > 0.05)


if __name__ == "__main__":
    sys.exit(main())
