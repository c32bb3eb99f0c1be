"""Every line of models is planned and served alike: two towers, tiles, fused weights."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage

from valley.engine.local import LocalEngine
from valley.planning import Planner
from valley.serve.admission import Admission
from valley.serve.jobs import Job
from valley.serve.scheduler import Scheduler
from valley.serve.schemas import ChatRequest
from valley.serve.settings import Settings
from valley.types import Sampling

from .conftest import MEDIA

LINES = ["tiny_valley2", "aimv2_8b", "sail2_2b"]


@pytest.fixture(scope="module", params=LINES)
def directory(request: pytest.FixtureRequest) -> Path:
    if request.param.endswith("b"):
        return request.getfixturevalue("sail")(request.param)
    return request.getfixturevalue(request.param)


def uri(width: int, height: int, angle: int) -> str:
    card = PILImage.open(MEDIA / "card.png").convert("RGB").rotate(angle).resize((width, height))
    file = BytesIO()
    card.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


WIDE, TALL = uri(700, 300, 0), uri(200, 460, 90)
CLIP = "data:video/mp4;base64," + base64.b64encode((MEDIA / "clip.mp4").read_bytes()).decode()


def question(text: str, *urls: str) -> ChatRequest:
    parts = []
    for url in urls:
        kind = "video_url" if url == CLIP else "image_url"
        parts.append({"type": kind, kind: {"url": url}})
    message = {"role": "user", "content": [*parts, {"type": "text", "text": text}]}
    body = {"model": "m", "messages": [message], "max_tokens": 6}
    return ChatRequest.model_validate(body | {"valley": {"max_frames": 2}})


QUESTIONS = [
    question("Hello <|im_end|>"),
    question("What is this?", WIDE),
    question("Compare them.", TALL, WIDE, TALL),
    question("What moves?", CLIP),
]


def test_a_line_is_served_as_it_answers_alone(directory: Path) -> None:
    torch.set_num_threads(1)
    engine = LocalEngine.from_checkpoint(directory, device="cpu", dtype="float32")
    tokenizer = engine.processor.tokenizer.backend_tokenizer.to_str().encode()
    admission = Admission(Settings(directory, model="m"), tokenizer, 32_768)
    planner, scheduler = Planner.of(directory), Scheduler(engine)
    expected = []
    for number, body in enumerate(QUESTIONS):
        planned = admission.plan(body)
        opened = planner.open(planned.ask.request)
        encoded = engine.processor.encode(opened)
        usage = encoded.usage
        assert (planned.prompt_tokens, planned.visual_tokens) == (
            usage.prompt_tokens,
            usage.visual_tokens,
        )
        assert sum(item.tokens for item in planned.media) == usage.visual_tokens
        assert planned.sizes == tuple(plan.original for plan in encoded.plans)
        expected.append(next(engine.run([opened], Sampling(max_new_tokens=6))).raw)
        scheduler.waiting.append(Job(number, planned.ask, encoded))
    said = dict.fromkeys(range(len(QUESTIONS)), "")
    while not scheduler.idle:
        for event in scheduler.turn():
            said[event["id"]] += event.get("text", "")
            assert "failed" not in event, event
    assert list(said.values()) == expected
    assert scheduler.engine.features.hits >= 1
