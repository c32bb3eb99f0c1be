"""Every command of the README and the documents is run, so that none goes stale."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from valley.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands that other tests and jobs run, or that take minutes.
ELSEWHERE = ("make ",)


def commands(kind: str, path: Path) -> list[str]:
    blocks = re.findall(rf"```{kind}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    if kind == "python":
        return blocks
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line[2:] for line in lines if not line[2:].startswith(ELSEWHERE)]


CONSOLE = [(path.name, line) for path in DOCUMENTS for line in commands("console", path)]
PYTHON = [(path.name, block) for path in DOCUMENTS for block in commands("python", path)]


@pytest.mark.parametrize(("document", "line"), CONSOLE)
def test_console_commands_run(
    document: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(line)
    assert program == "valley", line
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("document", "block"), PYTHON)
def test_python_blocks_run(
    document: str,
    block: str,
    tiny_valley2_5: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block.replace("path/to/Valley2.5", str(tiny_valley2_5)), document, "exec"), {})


def test_there_are_commands_to_run() -> None:
    assert len(CONSOLE) >= 4
    assert len(PYTHON) >= 2


def test_the_tree_of_the_readme_exists() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where is what")[1]
    names = re.findall(r"^  ([\w/.]+)\s", tree, re.MULTILINE)
    assert len(names) > 10
    for name in names:
        assert (ROOT / "src/valley" / name).exists(), name
