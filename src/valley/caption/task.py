"""What is asked about every product, and the hash of all that a verdict depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from valley.caption.products import Product
from valley.evaluate.identity import Source, key_of
from valley.media.limits import Limits
from valley.media.sources import folder_frames, open_binary, scheme_of
from valley.types import Budget, Message, Part, Request, Sampling, Text

#: Asked where the user asks nothing else.
PROMPT = "Describe the product."
#: Temperature of every try after the first, which is greedy.
RETRY_TEMPERATURE = 0.7


@dataclass(frozen=True)
class Task:
    """`schema`: as text, what replies are held to; None for free text. `labels`: replies whose
    likelihood is wanted. `retries`: how often a reply that is cut off or invalid is asked again,
    each time with the next seed."""

    prompt: str = PROMPT
    schema: str | None = None
    labels: tuple[str, ...] = ()
    retries: int = 2
    max_new_tokens: int = 512
    seed: int = 0
    budget: Budget = Budget()

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels) or not all(self.labels):
            raise ValueError("--labels: every label must be given once, and none may be empty")

    def sampling(self, retry: int = 0) -> Sampling:
        """How the first try is answered, or a later one."""
        sampling = Sampling(max_new_tokens=self.max_new_tokens, schema=self.schema)
        if not retry:
            return sampling
        return replace(sampling, temperature=RETRY_TEMPERATURE, seed=self.seed + retry)

    def question(self, product: Product) -> Request:
        """Raises ValueError for a product that is none."""
        if self.schema is None:
            return self._asking(product, self.prompt)
        return self._asking(
            product, f"{self.prompt}\nAnswer with JSON of this schema: {self.schema}"
        )

    def label_question(self, product: Product) -> Request:
        return self._asking(product, f"{self.prompt}\nAnswer with one of: {', '.join(self.labels)}")

    def key(self, product: Product, source: Source) -> str:
        """The hash of all that a verdict on a product depends on. Raises ValueError or OSError for
        a product that cannot be read."""
        request = self.question(product)
        limits = Limits(media_root=product.root)
        parts = tuple(_digested(part, limits) for part in request.messages[0].parts)
        retrying = {"labels": self.labels, "retries": self.retries, "seed": self.seed}
        digested = replace(request, messages=(Message("user", parts),))
        return key_of(digested, 1, self.sampling(), source, retrying)

    def _asking(self, product: Product, words: str) -> Request:
        if product.problem is not None:
            raise ValueError(product.problem)
        gap = "\n" if product.parts and isinstance(product.parts[-1], Text) else ""
        message = Message.of("user", *product.parts, f"{gap}{words}")
        return Request((message,), self.budget)


def _digested(part: Part, limits: Limits) -> Part:
    return part if isinstance(part, Text) else type(part)(_digest(part.source, limits))


def _digest(source: Any, limits: Limits) -> str:
    """SHA-256 of a picture, a clip or all of its frames; a URL as it is."""
    if isinstance(source, (list, tuple)):
        digests = "\n".join(_digest(frame, limits) for frame in source)
        return hashlib.sha256(digests.encode()).hexdigest()
    if scheme_of(source) in ("http", "https"):
        return str(source)
    if frames := folder_frames(source, limits):
        return _digest(frames, limits)
    digest = hashlib.sha256()
    with open_binary(source, limits) as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
