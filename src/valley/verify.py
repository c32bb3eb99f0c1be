"""`valley verify`: does a checkpoint with real weights behave, measured on this machine?

The report can be shared: it holds no paths and no names of the machine.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from PIL import Image, ImageDraw

from valley.chat import Chat, load
from valley.model.checkpoint import inspect
from valley.model.files import read_header, weight_files
from valley.planning import Planner
from valley.report import inspection_table
from valley.types import Budget

#: Ids of plain words in the Qwen2/Qwen3 byte-level vocabulary, which every published line uses.
QWEN_WORDS = {
    "Describe the given image.": [74785, 279, 2661, 2168, 13],
    "\n": [198],
    "assistant\n": [77091, 198],
}
QUESTIONS = (
    "What shape is in the picture, and what colour is it?",
    "What number is written in the picture?",
    "Is there an animal in this picture?",
)
MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool | None  # None: for information
    detail: str


@dataclass(frozen=True)
class Verification:
    checks: tuple[Check, ...]
    inspection: str
    replies: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks)

    def markdown(self) -> str:
        """The report."""
        marks = {True: "pass", False: "FAIL", None: ""}
        lines = ["# Verification", "", "| check | result | detail |", "|---|---|---|"]
        lines += [f"| {c.name} | {marks[c.passed]} | {c.detail} |" for c in self.checks]
        lines += ["", "## Tensors", "", "```", self.inspection, "```", "", "## Replies", ""]
        for question, reply in self.replies:
            lines += [f"**{question}**", "", "```", reply, "```", ""]
        return "\n".join(lines)


def verify(
    directory: Path,
    device: str | None = None,
    dtype: str | None = None,
    budget: Budget = Budget(),
) -> Verification:
    """Load a checkpoint and check tensors, vocabulary, prompts, replies, speed and memory.

    `budget`: of the pictures asked about. Raises ValueError where the family has no such limit.
    """
    Planner.of(directory).budget(budget)
    found = inspect(directory)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    tensors = f"{len(found.matched)} matched, {len(found.missing)} missing"
    checks = [
        Check("versions", None, f"{versions}, {platform.python_version()}, {platform.machine()}"),
        Check("files", bool(weight_files(directory)), _stored(directory)),
        Check("tensors", found.complete, f"{tensors}, {len(found.unexpected)} unexpected"),
    ]
    if not found.complete:
        return Verification(tuple(checks), inspection_table(found), ())
    started = time.monotonic()
    chat = load(directory, device, dtype)
    model = chat.engine.model  # type: ignore[attr-defined]
    checks.append(
        Check("load", None, f"{time.monotonic() - started:.1f} s, {model.dtype}, {model.device}")
    )
    checks += [_words(chat), _prompt(chat), _repeats(chat, budget)]
    replies, speed = _replies(chat, budget)
    checks += [Check("speed", None, speed), Check("memory", None, _memory())]
    return Verification(tuple(checks), inspection_table(found), replies)


def _stored(directory: Path) -> str:
    files = weight_files(directory)
    dtypes = sorted({entry["dtype"] for file in files for entry in read_header(file).values()})
    return f"{len(files)} safetensors, {', '.join(dtypes)}"


def _words(chat: Chat) -> Check:
    """A published vocabulary is Qwen's; another one is no fault, but worth knowing."""
    encode = chat.processor.writer.encode
    same = all(encode(text) == ids for text, ids in QWEN_WORDS.items())
    size = len(chat.processor.tokenizer)
    return Check(
        "vocabulary",
        None,
        f"{size} entries, {'the ids of Qwen' if same else 'not the ids of Qwen'}",
    )


def _prompt(chat: Chat) -> Check:
    """Placeholders, plan and ids agree for a picture, and control tokens in words stay words."""
    encoded = chat.processor.encode(chat.request("Hi <|im_end|>", probe()))
    visual = encoded.input_ids.count(chat.processor.image_token_id)
    closing = chat.processor.tokenizer.convert_tokens_to_ids(chat.processor.chat.turn_close)
    plain = chat.processor.encode(chat.request("Hi", probe())).input_ids
    kept = encoded.input_ids.count(closing) == plain.count(closing)
    good = visual == encoded.usage.visual_tokens and kept
    return Check("prompt", good, f"{len(encoded.input_ids)} ids, {visual} of them visual")


def _repeats(chat: Chat, budget: Budget) -> Check:
    """The same greedy question gives the same ids twice."""
    first, second = (
        chat.ask(QUESTIONS[0], probe(), max_new_tokens=16, budget=budget) for _ in range(2)
    )
    return Check("repeatable", first.token_ids == second.token_ids, f"{len(first.token_ids)} ids")


def _replies(chat: Chat, budget: Budget) -> tuple[tuple[tuple[str, str], ...], str]:
    replies, tokens = [], 0
    started = time.monotonic()
    for question in QUESTIONS:
        reply = chat.ask(question, probe(), max_new_tokens=MAX_NEW_TOKENS, budget=budget)
        tokens += reply.usage.completion_tokens
        replies.append((question, reply.raw))
    seconds = time.monotonic() - started
    return tuple(
        replies
    ), f"{tokens / seconds:.1f} tokens/s over {len(QUESTIONS)} replies, prefill included"


def _memory() -> str:
    if torch.cuda.is_available():
        return f"peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB on the GPU"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"peak {peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB of the process"


def probe() -> Image.Image:
    """A drawn picture that every model of this kind can describe: a red circle and a number."""
    picture = Image.new("RGB", (448, 336), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((60, 90, 220, 250), fill="red")
    draw.text((270, 130), "42", fill="black", font_size=96)
    return picture
