"""What `valley caption` does: a task, an engine, the run, a closing table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from valley.caption.products import Input, Product
from valley.caption.running import SHOWN, Summary, run
from valley.caption.task import PROMPT, Task
from valley.caption.verdicts import Examiner
from valley.counting import render_table
from valley.engine.local import LocalEngine
from valley.engine.remote import RemoteEngine
from valley.evaluate.command import with_clips
from valley.evaluate.identity import Source, digest_of_checkpoint
from valley.media.images import open_image
from valley.media.limits import Limits
from valley.model.files import locate
from valley.model.memory import check_memory
from valley.planning import Planner
from valley.schema import choices_of, read_schema
from valley.types import Budget, Image, Message, Request


@dataclass(frozen=True)
class Options:
    """Who is asked. `max_prompt_tokens`: the most that the question about one product may cost,
    pictures included; None for what the model's context holds."""

    model: str | None = None
    url: str | None = None
    max_prompt_tokens: int | None = None
    allow_urls: bool = False
    batch_size: int = 32
    device: str | None = None
    dtype: str | None = None
    revision: str | None = None


def task_of(
    prompt: str | None,
    schema: Path | None,
    labels: str | None,
    budget: Budget,
    *,
    retries: int,
    max_new_tokens: int,
    seed: int,
) -> Task:
    """The task that a user describes. `labels`: words with commas, or @FIELD for the enum of a
    field of the schema. Raises ValueError for what cannot be asked."""
    text = read_schema(schema) if schema else None
    words = tuple(word.strip() for word in labels.split(",")) if labels else ()
    if labels and labels.startswith("@"):
        if text is None:
            raise ValueError(f"--labels {labels} names a field of a schema: give --schema")
        words = choices_of(text, labels[1:])
    return Task(prompt or PROMPT, text, words, retries, max_new_tokens, seed, budget)


def caption(products: Input, task: Task, out: Path, options: Options) -> Summary:
    """Judge all products into the file `out`.

    Raises ValueError for what can be seen to be wrong before a model is loaded.
    """
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: name a file")
    if not products.names:
        given = ", ".join(map(str, products.sources))
        raise ValueError(f"{given}: no pictures, clips or rows: name others")
    examiner = (_remote if options.url else _local)(task, options)
    return run(examiner, products, out)


def _local(task: Task, options: Options) -> Examiner:
    """A model in this process."""
    name = options.model or "nano"
    directory = locate(name, options.revision)
    planner = Planner.of(directory)
    planner.family.check_budget(task.budget)
    check_memory(directory, options.device, options.dtype)
    engine = LocalEngine.from_checkpoint(
        directory, options.device, options.dtype, batch_size=options.batch_size
    )
    dtype = str(engine.model.dtype).removeprefix("torch.")
    source = Source(name, digest_of_checkpoint(directory), planner.family.name, dtype)
    context = engine.model.config.get_text_config().max_position_embeddings
    most = min(options.max_prompt_tokens or context, context - task.max_new_tokens)

    def ready(request: Request, limits: Limits) -> Request:
        opened = planner.open(request, limits)
        cost = len(engine.processor.lay_out(opened)[0].input_ids)
        if cost > most:
            raise ValueError(
                f"costs {cost:,} tokens, {most:,} are allowed: fewer or smaller pictures "
                "(--max-pixels, --frames), or a larger --max-prompt-tokens"
            )
        return opened

    return Examiner(engine, source, task, _opening(ready, options))


def _remote(task: Task, options: Options) -> Examiner:
    """A model behind an address."""
    if options.max_prompt_tokens:
        raise ValueError("--max-prompt-tokens: a URL does not say what a question costs: drop it")
    if task.labels:
        raise ValueError(
            "--labels: a URL does not give the likelihood of whole replies: use --model alone"
        )
    engine = RemoteEngine(str(options.url), options.model, parallel=options.batch_size)
    source = Source(engine.model, url=engine.url)
    return Examiner(engine, source, task, _opening(_with_pixels, options))


def _with_pixels(request: Request, limits: Limits) -> Request:
    """The request with its pictures and the frames of its clips open."""
    (message,) = with_clips(request, limits).messages
    parts = (
        Image(open_image(part.source, limits)) if isinstance(part, Image) else part
        for part in message.parts
    )
    return replace(request, messages=(Message("user", tuple(parts)),))


def _opening(
    ready: Callable[[Request, Limits], Request], options: Options
) -> Callable[[Request, Product], Request]:
    """Media of a product are opened below its folder alone."""
    limits = Limits(allow_urls=options.allow_urls)
    return lambda request, product: ready(request, replace(limits, media_root=product.root))


def table_of(summary: Summary) -> str:
    """The closing table, for a person."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column()
    grid.add_column(justify="right")
    tokens = summary.tokens
    rows: list[tuple[str, str]] = [
        ("verdicts", f"{summary.verdicts:,}"),
        ("of these, after a retry", f"{summary.retried:,}"),
        ("errors", f"{len(summary.errors):,}"),
        *((f"likeliest: {label}", f"{n:,}") for label, n in summary.likeliest.most_common()),
        ("visual tokens", f"{tokens['visual']:,}"),
        ("other tokens of prompts", f"{tokens['words']:,}"),
        ("tokens of replies", f"{tokens['reply']:,}"),
        ("asked in this run", f"{summary.asked:,}"),
        ("seconds", f"{summary.seconds:,.1f}"),
    ]
    for row in rows:
        grid.add_row(*row)
    return render_table(grid)


def notes_of(products: Input, summary: Summary) -> Sequence[str]:
    """What a user should know besides: columns without a use, and the first errors."""
    notes = []
    if products.unused:
        columns = ", ".join(f"{name} ({rows})" for name, rows in products.unused.most_common(10))
        notes.append(f"columns without a use here, by rows: {columns}")
    shown = list(summary.errors.items())[:SHOWN]
    notes += [f"{name}: {problem}" for name, problem in shown]
    if len(summary.errors) > SHOWN:
        notes.append(f"and {len(summary.errors) - SHOWN} more errors")
    return notes
