"""The demo and the published snippets run as they stand, but for the place of the checkpoint."""

from __future__ import annotations

import re
import runpy
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from media import makers
from model.pictures import picture

EXAMPLES = Path(__file__).parent.parent / "examples"
SNIPPETS = sorted((EXAMPLES / "published").glob("*.py"))


def test_the_demo_answers_and_declines_without_a_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    runpy.run_path(str(EXAMPLES / "demo.py"), run_name="__main__")
    out = capsys.readouterr().out
    for words in ("card.png", "clip.mp4", "photograph.jpg", "visual", "measured on"):
        assert words in out
    assert "I cannot tell" in out.split("photograph.jpg")[1]
    assert "$" in out.split("clip.mp4")[0]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda path: path.stem)
def test_a_published_snippet_runs(
    snippet: Path,
    tiny_valley2_5: Path,
    tiny_valley2: Path,
    sail: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only the path and the length of the reply (of noise) are changed here."""
    monkeypatch.chdir(tmp_path)
    for name in ("picture.png", *(f"picture{i}.png" for i in range(8))):
        picture(len(name), 84, 56).save(name)
    makers.clip(Path("video.mp4"), frames=12)
    text = snippet.read_text(encoding="utf-8")
    assert text.count("import valley.auto\n") == ("AutoModel" in text)
    text = text.replace("path/to/Valley2.5", str(tiny_valley2_5))
    text = text.replace("path/to/Valley2-DPO", str(tiny_valley2))
    text = text.replace("path/to/SAIL-VL", str(sail("aimv2_8b")))
    text = re.sub(r"max_new_tokens=\d+", "max_new_tokens=6", text)
    text = text.replace('padding_side="left",', 'padding_side="left", max_new_tokens=6,')
    Path("snippet.py").write_text(text, encoding="utf-8")
    runpy.run_path("snippet.py", run_name="__main__")
    assert capsys.readouterr().out.strip()
