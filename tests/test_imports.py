"""Imports go one way, light modules stay light, and every module can be imported."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import valley

ROOT = Path(valley.__file__).parent
#: From the bottom up: a module may import from its own rank and from those before it.
RANKS: tuple[frozenset[str], ...] = (
    frozenset({"types", "mathematics"}),
    frozenset({"geometry", "prompt", "schema"}),
    frozenset({"tiling", "dynamic_tiling", "grounding"}),
    frozenset({"families"}),
    frozenset({"media", "pixels"}),
    frozenset({"planning", "counting", "model"}),
    frozenset({"encoding", "data"}),
    frozenset({"processing"}),
    frozenset({"auto_native"}),
    frozenset({"auto"}),
    frozenset({"engine"}),
    frozenset({"vllm_plugin"}),
    frozenset({"chat", "valley2_chat", "sail_vl_chat"}),
    frozenset({"serve", "evaluate", "train", "curate", "nano"}),
    frozenset({"caption"}),
    frozenset({"session", "report", "verify", "doctor"}),
    frozenset({"cli", "__init__", "__main__"}),
)
MAY_IMPORT_LATE = frozenset({"cli.py", "__init__.py"})
#: Packages of the extras: a module that uses one is importable without it.
EXTRAS = frozenset(
    {
        "easy_vqa",
        "fontTools",
        "math_verify",
        "latex2sympy2_extended",
        "rapidfuzz",
        "pyarrow",
        "peft",
        "matplotlib",
        "httpx2",
        "tenacity",
        "fastapi",
        "starlette",
        "uvicorn",
        "jsonschema_rs",
        "llguidance",
        "limits",
        "prometheus_client",
        "vllm",
    }
)
#: Modules that are made of vLLM's classes: nobody imports them but vLLM, and what runs in it.
OF_VLLM = frozenset(
    {
        "valley.vllm_plugin.chat",
        "valley.vllm_plugin.model",
        "valley.vllm_plugin.pictures",
        "valley.vllm_plugin.requests",
        "valley.serve.vllm_child",
        "valley.serve.vllm_scheduler",
    }
)
#: May be imported without torch and transformers being loaded.
LIGHT = (
    "valley",
    "valley.types",
    "valley.geometry",
    "valley.tiling",
    "valley.dynamic_tiling",
    "valley.prompt",
    "valley.families",
    "valley.media",
    "valley.media.images",
    "valley.media.video",
    "valley.pixels",
    "valley.planning",
    "valley.model.files",
    "valley.data.formats",
    "valley.data.mixing",
    "valley.data.packing",
    "valley.schema",
    "valley.serve.app",
    "valley.serve.front",
    "valley.serve.run",
    "valley.train",
    "valley.train.difficulty",
    "valley.train.fill_in",
    "valley.train.rewards",
    "valley.engine.remote",
    "valley.evaluate.runner",
    "valley.evaluate.prompts",
)

FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rank(module: str) -> int | None:
    """The place of a module by its first two names below the package, or else the first."""
    pieces = module.split(".")[1:] or ["__init__"]
    for part in (".".join(pieces[:2]), pieces[0]):
        for number, parts in enumerate(RANKS):
            if part in parts:
                return number
    return None


def imports(tree: ast.AST, module: str, package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")
            base = base[: len(base) - node.level + package] if node.level else []
            yield ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if node.module == "valley":
                yield from (f"valley.{alias.name}" for alias in node.names)


def late_imports(tree: ast.AST) -> Iterator[int]:
    """Lines of imports inside functions, those of extras aside."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ast.walk(node):
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    names = set(imports(inner, "", False))
                    if not {name.split(".")[0] for name in names} <= EXTRAS:
                        yield inner.lineno


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    module = module_of(path)
    own = rank(module)
    assert own is not None, f"{module} has no place in the order of imports"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name in imports(tree, module, path.name == "__init__.py"):
        if name.split(".")[0] != "valley" or name == "valley":
            continue
        other = rank(name)
        assert other is not None, f"{module} imports {name}, which has no place in the order"
        assert other <= own, f"{module} imports {name}, which comes after it"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_stand_at_the_top(path: Path) -> None:
    if path.name in MAY_IMPORT_LATE:
        return
    lines = list(late_imports(ast.parse(path.read_text(encoding="utf-8"))))
    assert not lines, f"{module_of(path)} imports inside functions, lines {lines}"


def test_the_readers_of_imports_see_what_is_there() -> None:
    text = "import valley.auto\nfrom . import files\nfrom valley import types\n"
    tree = ast.parse(text + "def f():\n    from ..prompt import render\n    import os\n")
    found = set(imports(tree, "valley.model.config", False))
    assert {"valley.auto", "valley.model", "valley.types", "valley.prompt", "os"} <= found
    assert list(late_imports(tree)) == [5, 6]
    extra = ast.parse("def f():\n    import easy_vqa\n    from fontTools.pens import basePen\n")
    assert list(late_imports(extra)) == []
    assert rank("valley.types") < rank("valley.model.files") < rank("valley.auto")
    assert rank("valley.no_such_part") is None


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_module_can_be_imported(path: Path) -> None:
    module = module_of(path)
    if module != "valley.__main__" and module not in OF_VLLM:
        assert importlib.import_module(module).__name__ == module


def test_only_vllm_needs_what_is_made_of_its_classes() -> None:
    users = {}
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = set(imports(tree, module_of(path), path.name == "__init__.py"))
        if found & OF_VLLM or (found & {"vllm"} and path.name != "__init__.py"):
            users[module_of(path)] = found
    assert users.keys() <= OF_VLLM


def test_light_modules_load_neither_torch_nor_transformers() -> None:
    program = (
        "import sys, importlib\n"
        f"for name in {LIGHT!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'transformers', 'torchvision'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
        "assert not {'av', 'PIL'} & set(sys.modules) or name != 'valley'\n"
        "print('light')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "light\n", done.stderr


def test_importing_the_package_registers_nothing() -> None:
    program = "import sys, valley; print(sorted(m for m in sys.modules if m.startswith('valley')))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'valley.types'" in done.stdout
    assert "valley.auto" not in done.stdout
    assert "valley.model" not in done.stdout
