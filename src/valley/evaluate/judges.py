"""A model as judge. What it says is kept, so that the same prompt is asked once."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import TracebackType

from valley.engine.base import Engine
from valley.evaluate.command import Options, local_asker, remote_asker
from valley.evaluate.identity import Source, key_of
from valley.evaluate.items import Answer
from valley.evaluate.store import Store, read_answers
from valley.types import Message, Request, Sampling

#: Where a judge's words are kept, beside the replies they are about.
JUDGED = "judged.jsonl"
#: A judge's words may be as many as VLMEvalKit allows MMVet's; the seed is for tries above 0.
SAMPLING = Sampling(max_new_tokens=2048, seed=0)


def digest_of_prompts() -> str:
    """SHA-256 over the names and texts of all prompts of judges."""
    digest = hashlib.sha256()
    folder = files("valley.evaluate") / "judge_prompts"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


class EngineJudge:
    """Any engine as `Judge`; `id` names it on every result.

    `kept`: an append-only file of its words, one `Answer` a line, under the SHA-256 of the prompt,
    the judge and its settings. A judge that cannot be reached raises what its engine raises: an
    outage makes no reply wrong.
    """

    def __init__(
        self, engine: Engine, source: Source, kept: Path, sampling: Sampling = SAMPLING
    ) -> None:
        self.engine, self.source, self.sampling = engine, source, sampling
        where = source.url or source.digest[:12]
        self.id = (
            f"{source.model} ({where}), prompts {digest_of_prompts()[:12]}, "
            f"at most {sampling.max_new_tokens} tokens, seed {sampling.seed}"
        )
        self._words = {key: answer.text for key, answer in read_answers(kept).items()}
        self._store = Store(kept)

    def __call__(self, prompt: str, temperature: float) -> str:
        request = Request((Message.of("user", prompt),))
        sampling = replace(self.sampling, temperature=temperature)
        key = key_of(request, 1, sampling, self.source)
        if key not in self._words:
            self._words[key] = self._ask(key, request, sampling)
        return self._words[key]

    def _ask(self, key: str, request: Request, sampling: Sampling) -> str:
        begun = time.monotonic()
        (reply,) = self.engine.run([request], sampling)
        answer = Answer(
            id=key,
            key=key,
            text=reply.text,
            raw=reply.raw,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            seconds=time.monotonic() - begun,
        )
        self._store.append(answer)
        return answer.text

    def __enter__(self) -> EngineJudge:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.__exit__(kind, error, trace)


def judge_at(name: str, model: str | None, kept: Path) -> EngineJudge:
    """The judge of a model's name or directory, or of an address and the model it serves."""
    if name.startswith(("http://", "https://")):
        asker = remote_asker(Options(url=name, model=model))
    else:
        asker = local_asker(Options(model=name))
    return EngineJudge(asker.engine, asker.source, kept)
