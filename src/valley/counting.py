"""`valley count`: what a model sees of each medium and what that costs. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from valley.families import Family
from valley.geometry import Plan
from valley.media.images import image_size
from valley.media.kind import media_kind
from valley.media.limits import Limits
from valley.media.sources import localize
from valley.media.video import probe_video
from valley.model.files import read_json
from valley.planning import Planner
from valley.prompt import Writer
from valley.types import Budget, Image, Message, Size, Style, Video, describe_source


@dataclass(frozen=True)
class Counted:
    """One medium. `grid`: patches or tiles as (columns, rows) of one frame; `tokens` of all."""

    source: str
    size: Size
    frames: int
    grid: tuple[int, int]
    tiles: int
    tokens: int
    sees: Size
    clip: bool = False

    def record(self) -> dict[str, Any]:
        values = asdict(self)
        del values["clip"]
        return values


@dataclass(frozen=True)
class Report:
    """`limits`: in force. `lifted`: visual tokens under the limits of the published code."""

    media: tuple[Counted, ...]
    prompt_tokens: int | None
    limits: Budget = Budget()
    lifted: int | None = None

    @property
    def visual_tokens(self) -> int:
        return sum(item.tokens for item in self.media)

    def record(self) -> dict[str, Any]:
        return {
            "visual_tokens": self.visual_tokens,
            "prompt_tokens": self.prompt_tokens,
            "media": [item.record() for item in self.media],
        }


def parse_size(text: str) -> Size:
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", text)
    if match is None:
        raise ValueError(f"--size {text!r} is not WIDTHxHEIGHT, such as 640x480")
    return int(match[1]), int(match[2])


def count_media(
    planner: Planner,
    sources: Sequence[str],
    sizes: Sequence[Size],
    budget: Budget,
    style: Style,
    limits: Limits,
    prompt: str | None,
    directory: Path,
) -> Report:
    """Count files from their headers, and bare sizes. `prompt` adds the words around them."""
    effective = planner.shared(planner.budget(budget, style), len(sources) + len(sizes))
    stored = planner.as_stored(style)
    found = [_count_source(planner, source, effective, limits, stored) for source in sources]
    for size in sizes:
        found.append(counted(f"{size[0]}x{size[1]}", [planner.plan(size, effective)]))
    words = None if prompt is None else _count_words(planner, prompt, found, directory)
    lifted = planner.shared(planner.budget(budget, "published"), len(found))
    published = sum(
        planner.plan(item.size, lifted, frame=item.frames > 1).num_tokens * item.frames
        for item in found
    )
    return Report(tuple(found), words, effective, published)


def _count_source(
    planner: Planner, source: str, budget: Budget, limits: Limits, as_stored: bool
) -> Counted:
    name = describe_source(source)
    opened = localize(source, limits)
    if media_kind(opened, limits) == "image":
        return counted(
            name, [planner.plan(image_size(opened, limits, as_stored=as_stored), budget)]
        )
    timestamps, size = probe_video(opened, limits)
    frames = planner.pick(timestamps, size, budget)
    return counted(name, [planner.plan(size, budget, frame=True)] * len(frames), clip=True)


def counted(name: str, plans: list[Plan], clip: bool = False) -> Counted:
    """One medium by the plans of its pictures."""
    plan = plans[0]
    return Counted(
        source=name,
        size=plan.original,
        frames=len(plans),
        grid=plan.views[0].grid,
        tiles=plan.num_tiles,
        tokens=sum(item.num_tokens for item in plans),
        sees=plan.sees,
        clip=clip,
    )


def _count_words(
    planner: Planner, prompt: str, counted: Sequence[Counted], directory: Path
) -> int | None:
    """Tokens of the whole prompt, None where the checkpoint ships no tokenizer.json."""
    writer = light_writer(planner.family, directory)
    if writer is None:
        return None

    def write(part: Image | Video) -> str:
        item: Counted = part.source
        shown = planner.family.chat.picture(item.tokens // item.frames)
        return planner.family.chat.write(part, [shown] * item.frames)

    parts = [Video(item) if item.clip else Image(item) for item in counted]
    message = Message.of("user", *parts, prompt)
    return len(writer.tokens(writer.text([message], write)).input_ids)


def light_writer(family: Family, directory: Path) -> Writer | None:
    """A writer over the checkpoint's tokenizer.json, without transformers; None if it has none."""
    file = directory / "tokenizer.json"
    if not file.is_file():
        return None
    return writer_of(family, directory, Tokenizer.from_file(str(file)))


def writer_of(family: Family, directory: Path, tokenizer: Tokenizer) -> Writer:
    """A writer over a tokenizer of its own and the checkpoint's chat template."""
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    added = tokenizer.get_added_tokens_decoder()
    return Writer(
        family.chat,
        family.chat_template(read_json(directory / "config.json")) or _shipped_template(directory),
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        {token.content: number for number, token in added.items() if token.special},
    )


def _shipped_template(directory: Path) -> str | None:
    template = directory / "chat_template.jinja"
    if template.is_file():
        return template.read_text(encoding="utf-8")
    return read_json(directory / "tokenizer_config.json").get("chat_template")


def table(report: Report) -> str:
    """The report for a person."""
    grid = Table(box=None, pad_edge=False)
    for column in ("source", "size", "sees", "grid", "frames", "tokens"):
        grid.add_column(column, justify="left" if column == "source" else "right", overflow="fold")
    for item in report.media:
        grid.add_row(
            item.source, _times(item.size), _times(item.sees), _times(item.grid),
            str(item.frames), f"{item.tokens:,}",
        )  # fmt: skip
    grid.add_section()
    grid.add_row(
        "in all", "", "", "", str(sum(i.frames for i in report.media)), f"{report.visual_tokens:,}"
    )
    if report.prompt_tokens is not None:
        grid.add_row("with the prompt's words", "", "", "", "", f"{report.prompt_tokens:,}")
    return render_table(grid) + _reason(report)


def _reason(report: Report) -> str:
    """Why a picture costs less here than with the published code, where it does."""
    most, frame = report.limits.max_pixels, report.limits.frame_max_pixels
    if not most or not report.lifted or report.lifted <= report.visual_tokens:
        return ""
    return (
        f"\n\nLimited to {most:,} pixels a picture"
        + (f" and {frame:,} a frame" if frame else "")
        + ", for memory and because larger ones were not trained on.\n"
        f"--max-pixels sets another limit; --style published takes {report.lifted:,} tokens."
    )


def render_table(grid: Table) -> str:
    console = Console(width=110, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"
