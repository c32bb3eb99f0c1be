"""Every verdict kept as it comes, in one file that a kill at any moment leaves good to go on with.

While it runs, the file is only appended to, in the order of the work; what was asked anew stands
there twice. At the end it is put in order: one line for each product, as the input has them. Lines
hold no times, so that a run which was killed leaves the file of one that was not.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from valley.caption.products import Input, Product
from valley.caption.verdicts import Examiner, Verdict
from valley.engine.bulk import ask
from valley.evaluate.store import Store, read_records
from valley.evaluate.writing import write_whole

#: Errors that are shown.
SHOWN = 5


@dataclass
class Summary:
    """What a file of verdicts holds, and what this run did for it."""

    verdicts: int = 0
    retried: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    likeliest: Counter[str] = field(default_factory=Counter)
    errors: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    seconds: float = 0.0

    def add(self, verdict: Verdict) -> None:
        usage = verdict.usage
        self.verdicts += verdict.error is None
        self.retried += verdict.error is None and verdict.tries > 1
        self.tokens["visual"] += usage.visual_tokens
        self.tokens["words"] += usage.prompt_tokens - usage.visual_tokens
        self.tokens["reply"] += usage.completion_tokens
        if verdict.labels:
            self.likeliest[max(verdict.labels, key=verdict.labels.__getitem__)] += 1
        if verdict.error is not None:
            self.errors[verdict.id] = verdict.error


@dataclass(frozen=True)
class Kept:
    """A verdict in the file: its key, and whether it is an error, which is asked again."""

    key: str
    failed: bool


def run(examiner: Examiner, products: Input, out: Path) -> Summary:
    """Judge every product that has no verdict in the file `out`, and put the file in order.

    Raises ValueError where the file holds verdicts on other products, RuntimeError where the
    engine fails for good; what was judged is kept.
    """
    names = products.names
    kept = {
        verdict.id: Kept(verdict.key, verdict.error is not None)
        for _, verdict in read_records(out, Verdict)
    }
    _check(out, kept, names)
    started, asked = time.monotonic(), 0
    keys: dict[str, str] = {}
    with (
        Store(out) as store,
        tqdm(total=len(names), desc=out.name, unit="product", disable=None) as bar,
    ):

        def todo() -> Iterator[Product]:
            for product in products:
                key, before = _key(examiner, product), kept.get(product.name)
                if before is None or before.failed or before.key != key:
                    keys[product.name] = key
                    yield product
                else:
                    bar.update()

        sampling = examiner.task.sampling()
        for product, reply in ask(examiner.engine, sampling, todo(), examiner.request):
            store.append(examiner.verdict(product, keys.pop(product.name), reply))
            asked += 1
            bar.update()
    summary = _put_in_order(out, names)
    summary.asked, summary.seconds = asked, time.monotonic() - started
    return summary


def _key(examiner: Examiner, product: Product) -> str:
    """The key of a verdict, "" where the product cannot be read: asking says why."""
    with contextlib.suppress(ValueError, OSError):
        return examiner.task.key(product, examiner.source)
    return ""


def _check(out: Path, kept: Mapping[str, Kept], names: list[str]) -> None:
    """A row that was broken may get another name when it is mended; verdicts are not dropped."""
    known = set(names)
    strange = [name for name, found in kept.items() if name not in known and not found.failed]
    if strange:
        raise ValueError(
            f"{out} holds {len(strange)} verdicts on other products, such as {strange[0]!r}: "
            "choose another --out"
        )


def _put_in_order(out: Path, names: list[str]) -> Summary:
    """The last verdict on each product, in the order of the input."""
    summary = Summary()
    places = {verdict.id: start for start, verdict in read_records(out, Verdict)}
    with out.open("rb") as file:

        def lines() -> Iterator[str]:
            for name in names:
                file.seek(places[name])
                yield file.readline().decode()

        write_whole(out, lines())
    for _, verdict in read_records(out, Verdict):
        summary.add(verdict)
    return summary
