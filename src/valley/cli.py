"""The `valley` command. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from valley.evaluate.items import Judge

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Ask, inspect and convert Valley and SAIL-VL vision-language models.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Media = Annotated[list[str] | None, typer.Argument(help="pictures, clips, folders of frames")]
Model = Annotated[
    str, typer.Option("--model", "-m", help="nano, a checkpoint directory or a hub name")
]
StyleName = Annotated[
    Literal["default", "published"],
    typer.Option(help="default: safe budgets; published: as the published code does"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]
MaxPixels = Annotated[int | None, typer.Option(help="area of a picture after resizing")]
MaxTiles = Annotated[
    int | None, typer.Option("--max-num", help="tiles of a picture, where a line cuts tiles")
]
Frames = Annotated[int | None, typer.Option(help="frames of a clip")]
AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="let media be fetched from the web")]
Revision = Annotated[str | None, typer.Option(help="branch, tag or commit of a hub name")]
Checkpoint = Annotated[str, typer.Argument(help="nano, a directory or a hub name")]

Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16")]

# Options of `chat` alone.
Question = Annotated[str | None, typer.Option("--prompt", "-p", help="the question")]
System = Annotated[str | None, typer.Option(help="a system prompt, or @NAME for a preset")]
Thinking = Annotated[Literal["off", "on"] | None, typer.Option(help="reason before answering")]
NewTokens = Annotated[int, typer.Option(min=1)]
Temperature = Annotated[float, typer.Option(min=0.0)]
Seed = Annotated[int | None, typer.Option()]
FrameRate = Annotated[float | None, typer.Option(help="frames per second instead")]
Attention = Annotated[str, typer.Option(help="sdpa, eager or flash_attention_2")]
Draw = Annotated[
    Path | None, typer.Option(help="write the picture with the boxes of the reply here")
]


@app.command()
def chat(
    media: Media = None,
    prompt: Question = None,
    model: Model = "nano",
    system: System = None,
    thinking: Thinking = None,
    max_new_tokens: NewTokens = 512,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    frames: Frames = None,
    fps: FrameRate = None,
    max_pixels: MaxPixels = None,
    max_tiles: MaxTiles = None,
    style: StyleName = "default",
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    attention: Attention = "sdpa",
    draw: Draw = None,
    allow_urls: AllowUrls = False,
    as_json: AsJson = False,
) -> None:
    """Ask about pictures and clips; without --prompt, an interactive conversation."""
    from valley.media.limits import Limits
    from valley.model.files import locate
    from valley.planning import Planner
    from valley.types import Budget, Sampling

    directory = locate(model, revision)
    limits = Limits(allow_urls=allow_urls)
    # Media are opened and checked before a model is loaded.
    request = Planner.of(directory).request(
        prompt or "",
        *(media or []),
        system=system,
        style=style,
        budget=Budget(max_pixels=max_pixels, max_tiles=max_tiles, max_frames=frames, fps=fps),
        thinking=None if thinking is None else thinking == "on",
        limits=limits,
    )
    sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if prompt is None and (as_json or not sys.stdin.isatty()):
        raise ValueError("--prompt is missing: say what to ask with -p")
    canvas = _canvas(request, prompt, draw)

    from valley.chat import load
    from valley.session import converse, summary

    session = load(directory, device, dtype, attention=attention, limits=limits)
    if prompt is None:
        converse(session, request, sampling, summary(directory))
        return
    if model == "nano" and not as_json:
        print(summary(directory), file=sys.stderr)
    _draw(canvas, _answer(session, request, sampling, as_json), draw)


def _draw(canvas: Any, reply: Any, target: Path | None) -> None:
    from valley.grounding import draw_boxes

    if target is None:
        return
    draw_boxes(canvas, reply.boxes).save(target)
    print(f"{len(reply.boxes)} boxes drawn into {target}", file=sys.stderr)


def _canvas(request: Any, prompt: str | None, draw: Path | None) -> Any:
    """The picture to draw on; raises ValueError where there is none or nowhere to write it."""
    from PIL import Image as PILImage

    from valley.planning import pictures_of

    if draw is None:
        return None
    pictures = [p for m in request.messages for part in m.parts for p in pictures_of(part)]
    if prompt is None or len(pictures) != 1:
        raise ValueError(f"--draw needs a --prompt and one picture, not {len(pictures)}")
    if draw.suffix.lower() not in PILImage.registered_extensions():
        raise ValueError(f"--draw {draw}: name a picture file such as out.png")
    if not draw.absolute().parent.is_dir():
        raise ValueError(f"--draw {draw}: the folder does not exist")
    return pictures[0]


def _answer(session: Any, request: Any, sampling: Any, as_json: bool) -> Any:
    """Stream to a terminal; anything else gets the answer alone, as one piece. The reply."""
    if as_json or not sys.stdout.isatty():
        reply = next(iter(session.engine.run([request], sampling)))
        print(json.dumps(_reply_record(reply), ensure_ascii=False) if as_json else reply.text)
        return reply
    stream = session.engine.stream(request, sampling)
    try:
        while True:
            print(next(stream), end="", flush=True)
    except StopIteration as end:
        print()
        if end.value.finish_reason != "stop":
            print(f"[{end.value.finish_reason}]", file=sys.stderr)
        return end.value


def _reply_record(reply: Any) -> dict[str, Any]:
    return {
        "text": reply.text,
        "thinking": reply.thinking,
        "cues": [{"index": cue.index, "text": cue.text} for cue in reply.cues],
        "boxes": [list(astuple(box)) for box in reply.boxes],
        "usage": {
            "prompt_tokens": reply.usage.prompt_tokens,
            "visual_tokens": reply.usage.visual_tokens,
            "completion_tokens": reply.usage.completion_tokens,
        },
        "finish_reason": reply.finish_reason,
    }


@app.command()
def count(
    media: Media = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="count the words too")
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option(help="WxH of a picture instead of a file")
    ] = None,
    model: Model = "nano",
    max_pixels: MaxPixels = None,
    min_pixels: Annotated[int | None, typer.Option()] = None,
    max_tiles: MaxTiles = None,
    frames: Frames = None,
    fps: Annotated[float | None, typer.Option()] = None,
    max_video_tokens: Annotated[int | None, typer.Option(help="visual tokens of a clip")] = None,
    style: StyleName = "default",
    revision: Revision = None,
    allow_urls: AllowUrls = False,
    as_json: AsJson = False,
) -> None:
    """What the model sees of each picture or clip, and the tokens it costs. Loads no model."""
    from valley.counting import count_media, parse_size, table
    from valley.media.limits import Limits
    from valley.model.files import locate
    from valley.planning import Planner
    from valley.types import Budget

    if not media and not size:
        raise ValueError("nothing to count: give pictures, clips, or --size WxH")
    budget = Budget(
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        max_tiles=max_tiles,
        max_frames=frames,
        fps=fps,
        max_video_tokens=max_video_tokens,
    )
    directory = locate(model, revision, weights=False)
    report = count_media(
        Planner.of(directory),
        list(media or []),
        [parse_size(text) for text in size or []],
        budget,
        style,
        Limits(allow_urls=allow_urls),
        prompt,
        directory,
    )
    print(json.dumps(report.record(), ensure_ascii=False) if as_json else table(report))


@app.command()
def inspect(checkpoint: Checkpoint, as_json: AsJson = False) -> None:
    """Tensors against the architecture, parameters per part, memory per precision, licences."""
    from valley.model.checkpoint import inspect as inspect_checkpoint
    from valley.model.files import locate
    from valley.report import inspection_record, inspection_table

    result = inspect_checkpoint(locate(checkpoint))
    print(json.dumps(inspection_record(result)) if as_json else inspection_table(result))
    if not result.complete:
        raise typer.Exit(1)


@app.command()
def verify(
    checkpoint: Checkpoint,
    report: Annotated[Path | None, typer.Option(help="write the Markdown report here")] = None,
    dtype: Dtype = None,
    device: Device = None,
    max_pixels: MaxPixels = None,
    max_tiles: MaxTiles = None,
) -> None:
    """Check real weights: tensors, tokenizer, prompts, a few replies, speed, memory."""
    from valley.model.files import locate
    from valley.types import Budget
    from valley.verify import verify as verify_checkpoint

    budget = Budget(max_pixels=max_pixels, max_tiles=max_tiles)
    result = verify_checkpoint(locate(checkpoint), device, dtype, budget)
    text = result.markdown()
    if report:
        report.write_text(text, encoding="utf-8")
    print(text)
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Checkpoint,
    target: Annotated[Path, typer.Argument(help="a new directory")],
    layout: Annotated[Literal["native", "published"], typer.Option()] = "native",
) -> None:
    """Rewrite a checkpoint in the other layout, bit for bit."""
    from valley.model.convert import convert as convert_checkpoint
    from valley.model.files import locate

    started = time.monotonic()
    tensors = convert_checkpoint(locate(source), target, layout)
    print(f"{tensors} tensors, bit-equal, in {time.monotonic() - started:.1f} s: {target}")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a YAML file, such as those in recipes/")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE in place of the recipe's")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="show a sample, what learns and how rows fill")
    ] = False,
) -> None:
    """Train by a recipe; a training that was stopped goes on where it was."""
    from valley.train.recipe import read_recipe

    stage = read_recipe(recipe, changes or [])
    if dry:
        from rich.console import Console

        from valley.train.dry_run import dry_run

        dry_run(stage, Console())
        return
    # Before hours of training, not at the first checkpoint.
    needed = ("peft", "matplotlib", "tensorboard", "rapidfuzz", "math_verify")
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ValueError(f"training needs {missing[0]}: pip install 'valley-vlm[train]'")
    from valley.train.run import train as run

    run(stage)
    print(f"saved in {stage.output}", file=sys.stderr)


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(help="the output of a training with adapters")],
    target: Annotated[Path, typer.Argument(help="where the merged model goes")],
    base: Annotated[str | None, typer.Option(help="the model that the adapters belong to")] = None,
) -> None:
    """Merge adapters into the model they were trained on."""
    from valley.train.merge import merge as write

    write(run, target, base)
    print(f"merged into {target}", file=sys.stderr)


@app.command("eval")
def evaluate(
    benchmarks: Annotated[list[str], typer.Option("--benchmark", "-b", help="such as MMStar")],
    data: Annotated[Path, typer.Option(help="the folder with their tables")],
    out: Annotated[Path, typer.Option(help="where replies are kept")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="nano, a checkpoint, or the name a server knows"),
    ] = None,
    url: Annotated[str | None, typer.Option(help="an OpenAI-compatible server, …/v1")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="the first rows only")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where a run stopped")] = False,
    prompts: Annotated[
        str | None, typer.Option(help="another line's prompts, or `default`")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="requests at a time")] = 32,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Ask a model the questions of benchmarks; every reply is kept as it comes."""
    from valley.evaluate.command import Options
    from valley.evaluate.command import evaluate as run

    asked = Options(model, url, prompts, max_new_tokens, batch_size, device, dtype, revision)
    errors = run(benchmarks, data, out, asked, limit, resume)
    print(f"replies in {out}", file=sys.stderr)
    if errors:
        print(f"{errors} without a reply: see their lines, or go on with --resume", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def caption(
    files: Annotated[
        list[Path],
        typer.Argument(help="pictures, clips, folders of them, rows (JSONL, parquet, CSV)"),
    ],
    out: Annotated[Path, typer.Option(help="one JSON line for each product; goes on if it exists")],
    schema: Annotated[Path | None, typer.Option(help="a JSON schema that replies follow")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="what to ask")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="a,b,c or @FIELD of the schema: how likely each is as the reply"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="nano, a checkpoint, or the name a server knows"),
    ] = None,
    url: Annotated[str | None, typer.Option(help="an OpenAI-compatible server, …/v1")] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="more tries of a reply that is cut off or invalid")
    ] = 2,
    max_new_tokens: NewTokens = 512,
    max_prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="tokens that one product may cost, pictures included")
    ] = None,
    max_pixels: MaxPixels = None,
    max_tiles: MaxTiles = None,
    frames: Frames = None,
    seed: Annotated[int, typer.Option(help="of the tries after the first")] = 0,
    media_root: Annotated[
        Path | None, typer.Option(help="the folder of the media that rows name; the file's")
    ] = None,
    allow_urls: AllowUrls = False,
    batch_size: Annotated[int, typer.Option(min=1, help="requests at a time")] = 32,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Describe or judge many products, as JSON of a schema; every verdict is kept as it comes."""
    from valley.caption.command import Options, notes_of, table_of, task_of
    from valley.caption.command import caption as judge
    from valley.caption.products import Input
    from valley.types import Budget

    budget = Budget(max_pixels=max_pixels, max_tiles=max_tiles, max_frames=frames)
    task = task_of(
        prompt, schema, labels, budget, retries=retries, max_new_tokens=max_new_tokens, seed=seed
    )
    options = Options(
        model, url, max_prompt_tokens, allow_urls, batch_size, device, dtype, revision
    )
    products = Input(files, media_root)
    summary = judge(products, task, out, options)
    print(table_of(summary))
    for note in notes_of(products, summary):
        print(note, file=sys.stderr)
    if summary.errors:
        raise typer.Exit(1)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="replies.jsonl of a run, or index and prediction")],
    benchmark: Annotated[str, typer.Option("--benchmark", "-b")],
    profile: Annotated[
        Literal["vlmevalkit", "strict"],
        typer.Option(help="as VLMEvalKit scores, to the last digit, or repaired"),
    ] = "strict",
    data: Annotated[Path | None, typer.Option(help="the folder with the tables")] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="a model, or a server's address, that reads what rules cannot"),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="the judge's name on its server")] = None,
    as_json: AsJson = False,
) -> None:
    """Score replies by rules, or with a judge; the scores of a run are written beside them."""
    from dataclasses import asdict

    from valley.evaluate.scoring import score_file, table_of

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    with _judge(judge, judge_model, file) as judging:
        scores, _ = score_file(file, benchmark, profile, data, judging, say)
    lines = [json.dumps(asdict(scores), ensure_ascii=False)] if as_json else table_of(scores)
    print("\n".join(lines))


def _judge(name: str | None, model: str | None, file: Path) -> AbstractContextManager[Judge | None]:
    """The judge that a user names, whose words are kept beside a file of replies."""
    if name is None:
        return nullcontext()
    from valley.evaluate.judges import JUDGED, judge_at

    return judge_at(name, model, file.with_name(JUDGED))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="the --out of `valley eval`, scored")],
    against: Annotated[Path | None, typer.Option(help="another one, to compare with")] = None,
    data: Annotated[Path | None, typer.Option(help="the tables' folder, for pictures")] = None,
) -> None:
    """Show scores as Markdown, JSON and one page: intervals, published figures, samples."""
    from valley.evaluate.report import write_report
    from valley.evaluate.report.sources import items_in, scorer_of

    write_report(folder, against, scorer_of, items_in(data) if data else None)
    print(folder / "report.html")


@app.command()
def serve(
    model: Model = "nano",
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(envvar="VALLEY_API_KEY", help="whoever asks must send one of these"),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="listen beyond this machine without a key")
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="a further name of this server, * for any")
    ] = None,
    allow_urls: AllowUrls = False,
    media_root: Annotated[
        Path | None, typer.Option(help="a folder whose files may be named in requests")
    ] = None,
    rate_limit: Annotated[
        str | None, typer.Option(help="requests for each key, such as 600/minute")
    ] = None,
    engine: Annotated[str, typer.Option(help="what runs the model: local or vllm")] = "local",
    vllm: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, an option of vLLM's engine; repeatable")
    ] = None,
    stall_seconds: Annotated[
        float, typer.Option(help="an engine that is silent for so long is started again")
    ] = 600.0,
    served_name: Annotated[
        str | None, typer.Option(help="the model's name in requests; its last path part")
    ] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """An OpenAI-compatible server on this machine's own address."""
    from valley.model.files import locate
    from valley.model.memory import check_memory
    from valley.serve.run import serve as run
    from valley.serve.settings import Settings, vllm_options

    directory = locate(model, revision)
    settings = Settings(
        directory=directory.resolve(),
        model=served_name or Path(model).name,
        host=host,
        port=port,
        api_keys=tuple(api_key or ()),
        hosts=tuple(allow_host or ()),
        insecure=insecure,
        engine=engine,
        device=device,
        dtype=dtype,
        vllm=vllm_options(vllm or ()),
        allow_urls=allow_urls,
        media_root=media_root,
        rate_limit=rate_limit,
        stall_seconds=stall_seconds,
    )
    if engine == "local":
        check_memory(directory, device, dtype)
    run(settings)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What will run on this machine, and why not."""
    from valley.doctor import checks, table

    found = checks()
    if as_json:
        print(json.dumps([vars(check) for check in found]))
    else:
        print(table(found))
    if any(check.state == "broken" for check in found):
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Errors: two lines at most; 2 the user's mistake, 1 a failure while
    running, 130 interrupted; `--debug` anywhere shows the traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments, prog_name="valley", standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        code = _explain(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code or 0)


def _explain(error: Exception) -> int:
    """Print an error in at most two lines and choose the exit code."""
    if isinstance(error, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    exit_code = getattr(error, "exit_code", None)
    shown = getattr(error, "format_message", lambda: str(error))()
    text = " ".join(shown.split()) or type(error).__name__
    print(f"valley: {text[:600]}", file=sys.stderr)
    if exit_code is not None:
        return int(exit_code)
    if isinstance(error, ValueError):
        return 2
    print("run again with --debug for the traceback", file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
