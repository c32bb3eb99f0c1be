"""A model as judge. What it says is kept, so that the same prompt is asked once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import TracebackType

from valley.engine.base import Engine
from valley.evaluate.command import Options, local_asker, remote_asker
from valley.evaluate.identity import Source, key_of
from valley.evaluate.items import Answer, Question, Unasked
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
    """Any engine as `Judge`, asked in batches; `id` names it on every result.

    `kept`: an append-only file of its words, one `Answer` a line, under the SHA-256 of the prompts,
    the judge and its settings. A judge that cannot be reached raises what its engine raises: an
    outage makes no reply wrong. Above temperature 0 the words of a model in this process depend on
    what is asked in the same batch.
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

    def __call__(self, question: Question) -> str:
        key = self._key(question)
        if key not in self._words:
            raise Unasked(question, self.ask)
        return self._words[key]

    def ask(self, questions: Iterable[Question]) -> None:
        """Ask what was not asked before, the questions of one temperature together."""
        fresh = {self._key(question): question for question in questions}
        fresh = {key: question for key, question in fresh.items() if key not in self._words}
        for heat in sorted({question.temperature for question in fresh.values()}):
            keys = [key for key, question in fresh.items() if question.temperature == heat]
            self._run(keys, [_request(fresh[key]) for key in keys], self._sampling(heat))

    def _run(self, keys: Sequence[str], requests: Sequence[Request], sampling: Sampling) -> None:
        begun = time.monotonic()
        for key, reply in zip(keys, self.engine.run(requests, sampling), strict=True):
            self._words[key] = reply.text
            self._store.append(
                Answer(
                    id=key,
                    key=key,
                    text=reply.text,
                    raw=reply.raw,
                    finish_reason=reply.finish_reason,
                    usage=reply.usage,
                    seconds=time.monotonic() - begun,
                )
            )
            begun = time.monotonic()

    def _key(self, question: Question) -> str:
        sampling = self._sampling(question.temperature)
        return key_of(_request(question), 1, sampling, self.source)

    def _sampling(self, temperature: float) -> Sampling:
        return replace(self.sampling, temperature=temperature)

    def __enter__(self) -> EngineJudge:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.__exit__(kind, error, trace)


def _request(question: Question) -> Request:
    system = [Message.of("system", question.system)] if question.system else []
    return Request((*system, Message.of("user", question.prompt)))


def judge_at(name: str, model: str | None, kept: Path) -> EngineJudge:
    """The judge of a model's name or directory, or of an address and the model it serves."""
    if name.startswith(("http://", "https://")):
        asker = remote_asker(Options(url=name, model=model))
    else:
        asker = local_asker(Options(model=name))
    return EngineJudge(asker.engine, asker.source, kept)
