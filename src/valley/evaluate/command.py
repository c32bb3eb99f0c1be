"""What `valley eval` does: an asker, a table, a record of the run, and the run itself.

OUT/<benchmark>/run.json        what the replies were made with
OUT/<benchmark>/replies.jsonl   the replies, one `Answer` a line
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import valley
from valley.engine.local import LocalEngine
from valley.engine.remote import RemoteEngine
from valley.evaluate.benchmarks import Benchmark, benchmark_of
from valley.evaluate.identity import Source, digest_of_checkpoint
from valley.evaluate.products.making import FILES, VERSION, make, manifest_of
from valley.evaluate.prompts import BY_FAMILY, BY_MODEL, DEFAULT, PromptSet, prompts_of
from valley.evaluate.prompts.base import for_benchmark
from valley.evaluate.runner import Asker, run
from valley.evaluate.store import RECORD, REPLIES
from valley.evaluate.tables import Table, read_table
from valley.evaluate.writing import write_whole
from valley.geometry import pick_frames
from valley.media.limits import DEFAULT as DEFAULT_LIMITS
from valley.media.limits import Limits
from valley.media.video import open_video
from valley.model.files import locate
from valley.model.memory import check_memory
from valley.planning import Planner
from valley.types import Budget, Message, Part, Request, Sampling, Size, Video

#: Frames of a clip for a server that cannot be told how many.
FRAMES = 8


@dataclass(frozen=True)
class Options:
    """What `valley eval` may be told about who answers, and how."""

    model: str | None = None
    url: str | None = None
    prompts: str | None = None
    max_new_tokens: int | None = None
    batch_size: int = 32
    device: str | None = None
    dtype: str | None = None
    revision: str | None = None


def evaluate(
    names: Sequence[str], data: Path, out: Path, options: Options, limit: int | None, resume: bool
) -> int:
    """Run benchmarks; returns how many items have an error instead of a reply.

    Raises ValueError for what can be seen to be wrong before a model is loaded.
    """
    benchmarks = askable([benchmark_of(name) for name in names], options)
    for benchmark in benchmarks:
        if benchmark.file in FILES.values() and manifest_of(data).get("version") != VERSION:
            make(data)
        if not (data / benchmark.file).is_file():
            raise ValueError(f"there is no {data / benchmark.file}: name its folder with --data")
        replies = out / benchmark.name / REPLIES
        if replies.exists() and not resume:
            raise ValueError(
                f"{replies} holds replies: go on with --resume, or choose another --out"
            )
    data = data.absolute()
    asker = (remote_asker if options.url else local_asker)(options, Limits(media_root=data))
    _check_prefixes(asker, benchmarks)
    errors = 0
    for benchmark in benchmarks:
        table = read_table(data / benchmark.file, benchmark, data)
        _say_of(table, benchmark)
        items = asker.prompts.read(table.items)[:limit]
        folder = out / benchmark.name
        folder.mkdir(parents=True, exist_ok=True)
        made_with = record(asker, benchmark, table, len(items))
        write_whole(folder / RECORD, [json.dumps(made_with, ensure_ascii=False, indent=1)])
        errors += run(asker, benchmark, items, folder / REPLIES)
    return errors


def record(asker: Asker, benchmark: Benchmark, table: Table, asked: int) -> dict[str, Any]:
    """All that replies depend on, for people and for scoring."""
    prompts = asker.prompts
    return {
        "benchmark": benchmark.name,
        "source": asdict(asker.source),
        "prompts": {"name": prompts.name, "version": prompts.version, "source": prompts.source},
        "thinking": prompts.thinking,
        "budget": _limits(prompts.budget(benchmark)),
        "budget_of_clips": _limits(prompts.clips or Budget()),
        "sampling": asdict(asker.sampling),
        "version": valley.__version__,
        "table": {
            "path": str(table.path.absolute()),
            "sha256": table.sha256,
            "md5": table.md5,
            "published_md5": benchmark.md5,
        },
        "rows": len(table.items),
        "skipped": table.skipped.total,
        "asked": asked,
    }


def _limits(budget: Budget) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in budget.set_fields()}


def askable(benchmarks: Sequence[Benchmark], options: Options) -> list[Benchmark]:
    """Without those that a URL cannot answer, which are named."""
    for benchmark in benchmarks:
        if options.url and benchmark.ranks:
            line = f"{benchmark.name} is left out: a URL gives no likelihoods of whole replies"
            tqdm.write(line, file=sys.stderr)
    return [b for b in benchmarks if not (options.url and b.ranks)]


def _check_prefixes(asker: Asker, benchmarks: Sequence[Benchmark]) -> None:
    """Raises ValueError for a benchmark that begins the reply, where the server cannot."""
    engine = asker.engine
    if not isinstance(engine, RemoteEngine) or engine.takes_prefix:
        return
    for benchmark in benchmarks:
        if for_benchmark(asker.prompts.prefixes, benchmark):
            raise ValueError(
                f"{benchmark.name} begins the reply for the model, which {engine.url} cannot be "
                "told: serve it with vLLM, or load it with --model"
            )


def _say_of(table: Table, benchmark: Benchmark) -> None:
    """What a user wants to know about a file before hours are spent on it."""
    lines = []
    if benchmark.md5 and table.md5 != benchmark.md5:
        lines.append(f"{table.path} is not the published file (MD5 {table.md5})")
    if table.skipped.total:
        lines.append(f"{table.path}: rows that cannot be asked: {table.skipped}")
    for line in lines:
        tqdm.write(line, file=sys.stderr)


def local_asker(options: Options, limits: Limits = DEFAULT_LIMITS) -> Asker:
    """A model in this process."""
    name = options.model or "nano"
    directory = locate(name, options.revision)
    planner = Planner.of(directory)
    family = planner.family
    prompts = _prompts(options, BY_MODEL.get(name) or BY_FAMILY[family.name])
    for budget in filter(None, (*prompts.budgets.values(), prompts.clips)):
        family.check_budget(budget)
    check_memory(directory, options.device, options.dtype)
    engine = LocalEngine.from_checkpoint(
        directory, options.device, options.dtype, batch_size=options.batch_size
    )
    dtype = str(engine.model.dtype).removeprefix("torch.")
    source = Source(name, digest_of_checkpoint(directory), family.name, dtype)
    opened = partial(planner.open, limits=limits)
    return Asker(engine, source, prompts, _sampling(options, prompts), opened, limits)


def remote_asker(options: Options, limits: Limits = DEFAULT_LIMITS) -> Asker:
    """A model behind an address."""
    engine = RemoteEngine(str(options.url), options.model, parallel=options.batch_size)
    source = Source(engine.model, url=engine.url)
    prompts = _prompts(options, DEFAULT)
    opened = partial(with_clips, limits=limits)
    return Asker(engine, source, prompts, _sampling(options, prompts), opened, limits)


def _prompts(options: Options, usual: PromptSet) -> PromptSet:
    return prompts_of(options.prompts) if options.prompts else usual


def _sampling(options: Options, prompts: PromptSet) -> Sampling:
    tokens = options.max_new_tokens
    return replace(prompts.sampling, max_new_tokens=tokens) if tokens else prompts.sampling


def with_clips(request: Request, limits: Limits) -> Request:
    """The request with its clips open, as many frames of each as its budget says."""
    budget = Budget(max_frames=request.budget.max_frames or FRAMES)

    def pick(timestamps: Sequence[float], size: Size) -> list[int]:
        return pick_frames(timestamps, budget, 1)

    def ready(part: Part) -> Part:
        return Video(open_video(part.source, pick, limits)) if isinstance(part, Video) else part

    messages = (Message(m.role, tuple(map(ready, m.parts))) for m in request.messages)
    return replace(request, messages=tuple(messages))
