"""The interactive conversation: questions, pictures added on the way, a fresh start."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

import valley
from model.pictures import picture
from valley.chat import Chat
from valley.session import converse, summary
from valley.types import Request, Sampling


@pytest.fixture(scope="module")
def chat(tiny_valley2_5: Path) -> Chat:
    torch.set_num_threads(1)
    return valley.load(tiny_valley2_5, device="cpu")


@pytest.fixture
def talk(chat: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Types lines into a conversation; returns the requests that were asked and the output."""

    def run(
        *lines: str,
        media: tuple[Path, ...] = (),
        system: str | None = None,
        budget: valley.Budget | None = None,
    ):
        typed, asked = iter(lines), []

        def typing(self: Console, prompt: str = "", **options: object) -> str:
            try:
                return next(typed)
            except StopIteration:
                raise EOFError from None

        stream = chat.engine.stream

        def watched(request: Request, sampling: Sampling):
            asked.append(request)
            return stream(request, sampling)

        monkeypatch.setattr(Console, "input", typing)
        monkeypatch.setattr(chat.engine, "stream", watched)
        start = chat.request("", *media, system=system, budget=budget)
        converse(chat, start, Sampling(max_new_tokens=3), "I am small.")
        return asked, capsys.readouterr().out

    return run


def test_each_turn_remembers_the_ones_before(talk, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(1, 60, 60).save(path)
    asked, out = talk("What?", "And?", media=(path,), system="Be brief.")
    assert "I am small." in out
    assert [len(request.messages) for request in asked] == [2, 4]
    assert [message.role for message in asked[1].messages] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert len(asked[1].messages[1].parts) == 2, "the picture stays with its question"
    assert len(asked[1].messages[3].parts) == 1
    assert "tokens in" in out


def test_pictures_are_added_and_forgotten(talk, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(1, 60, 60).save(path)
    asked, out = talk(f"/add {path} /no/such.png", "What?", "/new", "Hello", "/sing", "/quit", "No")
    assert "/no/such.png" in out
    assert len(asked) == 2
    assert len(asked[0].messages[0].parts) == 2
    assert len(asked[1].messages) == len(asked[1].messages[0].parts) == 1
    assert out.count("/add FILE") == 2, "an unknown command shows the help again"


def test_what_is_added_keeps_to_the_budget(talk, tmp_path: Path) -> None:
    for number in range(4):
        picture(number, 60, 60).save(tmp_path / f"{number}.png")
    asked, _ = talk(f"/add {tmp_path}", "What?", budget=valley.Budget(max_frames=2))
    (clip, _) = asked[0].messages[0].parts
    assert len(clip.source.frames) == 2


def test_the_summary_is_a_part_of_the_card(tmp_path: Path) -> None:
    assert summary(tmp_path) == ""
    card = "# nano\n<!-- summary -->\nReads prices.\n<!-- /summary -->\nMore."
    (tmp_path / "README.md").write_text(card)
    assert summary(tmp_path) == "Reads prices."
