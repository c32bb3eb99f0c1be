"""Every command of the README and the documents is run, so that none goes stale."""

from __future__ import annotations

import re
import runpy
import shlex
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from valley.cli import main
from valley.data.formats import read_samples
from valley.data.records import Pair
from valley.train.dry_run import dry_run
from valley.train.grpo import prompt_only, truth_in
from valley.train.recipe import read_recipe
from valley.train.rewards import Truth

ROOT = Path(__file__).parent.parent
# What needs a running server is run by tests/serve/test_server.py.
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands that other tests and jobs run, or that take minutes.
ELSEWHERE = ("make ",)


def commands(kind: str, path: Path) -> list[str]:
    blocks = re.findall(rf"```{kind}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    if kind != "console":
        return blocks
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line[2:] for line in lines if not line[2:].startswith(ELSEWHERE)]


_FIRST: dict[str, str] = {}
for _path in DOCUMENTS:
    for _line in commands("console", _path):
        _FIRST.setdefault(_line, _path.name)
#: In the order in which a reader runs them; one that stands in two documents once.
CONSOLE = [(name, line) for line, name in _FIRST.items()]
PYTHON = [(path.name, block) for path in DOCUMENTS for block in commands("python", path)]


#: In place of the minutes that a training takes.
SHORT = ("steps=2", "epochs=null", "batch={samples: 2}", "report=[]")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the repository has at its root, in which commands may write."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("docs", "examples", "recipes", "src"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize(("document", "line"), CONSOLE)
def test_console_commands_run(
    document: str,
    line: str,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(elsewhere)
    program, *arguments = shlex.split(line)
    if program == "python":
        monkeypatch.setattr("sys.argv", arguments)
        runpy.run_path(arguments[0], run_name="__main__")
        return
    assert program == "valley", line
    if arguments[0] == "train" and "--dry-run" not in arguments:
        arguments += [word for change in SHORT for word in ("--set", change)]
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


def test_the_records_of_the_documents_can_be_read(tmp_path: Path) -> None:
    blocks = commands("json", ROOT / "docs" / "training.md")
    assert len(blocks) == 3
    (tmp_path / "data.jsonl").write_text("".join(blocks), encoding="utf-8")
    plain, pair, prompt = read_samples(tmp_path / "data.jsonl")
    assert plain.messages[-1].role == "assistant"
    assert Pair.of(pair).rejected == "A cat."
    assert prompt_only(prompt) and truth_in(prompt)[1] == Truth("number", "7")


def test_the_shown_dry_run_is_what_it_prints(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(elsewhere)
    if not Path("data/signs").exists():  # where this test runs alone
        monkeypatch.setattr("sys.argv", ["signs.py", "data/signs"])
        runpy.run_path("examples/finetune/signs.py", run_name="__main__")
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    shown = re.findall(r"writes nothing:\n\n```\n(.*?)```", text, re.DOTALL)[0]
    screen = StringIO()
    recipe = read_recipe(Path("recipes/finetune-lora.yaml"))
    dry_run(recipe, Console(file=screen, width=100))
    lines = [line.rstrip() for line in screen.getvalue().strip().splitlines()]
    assert shown.strip().splitlines() == lines


def test_there_are_commands_to_run() -> None:
    assert len(CONSOLE) >= 4
    assert len(PYTHON) >= 2


def test_the_tree_of_the_readme_exists() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where is what")[1]
    names = re.findall(r"^  ([\w/.]+)\s", tree, re.MULTILINE)
    assert len(names) > 10
    for name in names:
        assert (ROOT / "src/valley" / name).exists(), name
