"""The interactive conversation of `valley chat`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from valley.chat import Chat
from valley.types import Message, Part, Reply, Request, Sampling

HELP = "/add FILE… adds pictures or clips to your next question, /new starts again, /quit ends"


def summary(directory: Path) -> str:
    """What a model says of itself: its model card between the `summary` marks, "" without one."""
    card = directory / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    _, found, rest = text.partition("<!-- summary -->")
    return rest.partition("<!-- /summary -->")[0].strip() if found else ""


def converse(chat: Chat, start: Request, sampling: Sampling, greeting: str) -> None:
    """Ask, answer, remember, until the user ends it. `start` holds the media and the options."""
    console = Console()
    if greeting:
        console.print(greeting, style="dim", markup=False)
    console.print(HELP, style="dim", markup=False)
    *before, opening = start.messages
    turns, pending = list(before), list(opening.parts[:-1])
    while True:
        try:
            line = console.input("[bold]> [/bold]").strip()
        except EOFError:
            return
        command, _, rest = line.partition(" ")
        if command in ("/quit", "/exit"):
            return
        if command == "/new":
            turns, pending = list(before), []
        elif command == "/add":
            pending += _opened(chat, rest.split(), start, console)
        elif command.startswith("/"):
            console.print(HELP, style="dim", markup=False)
        elif line:
            question = Message.of("user", *pending, line)
            reply = _ask(chat, replace(start, messages=(*turns, question)), sampling, console)
            turns += [question, Message.of("assistant", reply.raw)]
            pending = []


def _opened(chat: Chat, names: list[str], start: Request, console: Console) -> list[Part]:
    """The named media as parts, within the limits of `start`; what cannot be opened is said and
    left out."""
    parts: list[Part] = []
    for name in names:
        try:
            opened = chat.request("", name, budget=start.budget, style=start.style)
            parts += opened.messages[-1].parts[:-1]
        except ValueError as error:
            console.print(str(error), style="red", markup=False)
    return parts


def _ask(chat: Chat, request: Request, sampling: Sampling, console: Console) -> Reply:
    stream = chat.engine.stream(request, sampling)
    while True:
        try:
            console.print(next(stream), end="", markup=False, highlight=False)
        except StopIteration as end:
            usage = end.value.usage
            console.print(
                f"\n[dim]{usage.prompt_tokens} tokens in ({usage.visual_tokens} visual), "
                f"{usage.completion_tokens} out, {end.value.finish_reason}[/dim]"
            )
            return end.value
