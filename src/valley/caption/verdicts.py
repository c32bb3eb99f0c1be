"""From a model's replies to the verdict on a product: checked, asked again, labels weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from valley.caption.products import Product
from valley.caption.task import Task
from valley.engine.base import Engine
from valley.engine.bulk import line_of
from valley.evaluate.identity import Source
from valley.schema import value_of
from valley.types import Reply, Request, Usage


@dataclass(frozen=True)
class Verdict:
    """One line of the output.

    `id`: the product's name. `key`: SHA-256 of all that the verdict depends on. `reply`: the JSON
    value, or free text. `labels`: the log-probability of each label as the reply, its end included.
    `tries`: replies that it took; `usage` is that of the last, with the tokens of all. `error`: why
    there is no verdict.
    """

    id: str
    key: str
    reply: Any = None
    labels: dict[str, float] | None = None
    tries: int = 0
    usage: Usage = Usage(0, 0)
    error: str | None = None


@dataclass(frozen=True)
class Examiner:
    """Who is asked, and what. `open`: makes the media of a request ready for the engine; raises
    ValueError where they cannot be, or cost too much."""

    engine: Engine
    source: Source
    task: Task
    open: Callable[[Request, Product], Request]

    def __post_init__(self) -> None:
        if self.task.labels and not hasattr(self.engine, "log_probs"):
            raise ValueError(
                "--labels needs the likelihood of whole replies, which this engine does not tell: "
                "use --model without --url"
            )

    def request(self, product: Product) -> Request:
        """The first question about a product. Raises ValueError where it cannot be asked."""
        return self.open(self.task.question(product), product)

    def verdict(self, product: Product, key: str, first: Reply | Exception) -> Verdict:
        """The verdict by the reply to the first question, or by what came instead of one."""
        if isinstance(first, Exception):
            return Verdict(product.name, key, error=line_of(first))
        told, tries, usage = 0, 0, first.usage
        problem = ""
        try:
            for tries, reply in enumerate(chain([first], self._retries(product)), 1):
                told += reply.usage.completion_tokens
                usage = Usage(reply.usage.prompt_tokens, reply.usage.visual_tokens, told)
                try:
                    value = self._value(reply)
                except ValueError as error:
                    problem = line_of(error)
                else:
                    labels = self._labels(product)
                    return Verdict(product.name, key, value, labels, tries, usage)
        except Exception as error:  # of the engine: other products may fare better
            problem = line_of(error)
        times = f" ({tries} tries)" if tries > 1 else ""
        return Verdict(product.name, key, None, None, tries, usage, f"{problem}{times}")

    def _retries(self, product: Product) -> Iterator[Reply]:
        """One request at a time, so that what is drawn does not depend on others."""
        for retry in range(1, self.task.retries + 1):
            yield from self.engine.run([self.request(product)], self.task.sampling(retry))

    def _value(self, reply: Reply) -> Any:
        """Raises ValueError for a reply that is no verdict."""
        cut = {"length": "cut off: raise --max-new-tokens", "repetition": "the reply was a loop"}
        schema = self.task.schema
        if schema is None:
            if reply.finish_reason in cut:
                raise ValueError(f"{cut[reply.finish_reason]}: {_end(reply.text)}")
            return reply.text
        # Tags in the strings of a JSON text are no tags.
        said = reply.raw if reply.thinking is None else reply.text
        try:
            return value_of(said, schema)
        except ValueError as error:
            raise ValueError(f"{cut.get(reply.finish_reason, error)}: {_end(said)}") from None

    def _labels(self, product: Product) -> dict[str, float] | None:
        if not self.task.labels:
            return None
        request = self.open(self.task.label_question(product), product)
        engine: Any = self.engine
        found = engine.log_probs(request, self.task.labels)
        return dict(zip(self.task.labels, (round(value, 4) for value in found), strict=True))


def _end(text: str) -> str:
    """The end of a reply, for whoever looks for what went wrong."""
    return f"…{text[-60:]!r}" if len(text) > 60 else repr(text)
