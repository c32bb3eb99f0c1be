"""Golden folders: the checkpoints they describe, written to disk with their own make script."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

DATA = Path(__file__).parent.parent / "data"
VALLEY = DATA / "golden" / "valley"
SAIL = DATA / "golden" / "sail"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def sets(folder: Path) -> list[str]:
    """Names of the sets in a folder: those with a golden file."""
    return sorted(path.name.removesuffix(".golden.json") for path in folder.glob("*.golden.json"))


def picture_path(folder: Path, name: str) -> Path:
    """A picture of a case, beside the golden file or in its images folder."""
    inside = folder / "images" / name
    return inside if inside.is_file() else folder / name


def write_checkpoint(folder: Path, name: str, target: Path) -> Path:
    """Run the folder's make script in a process of its own.

    Raises ValueError with the last line it printed if it fails.
    """
    scripts = sorted(folder.glob("make_tiny*.py"))
    if len(scripts) != 1:
        raise ValueError(f"{folder} must hold one make_tiny*.py, it holds {len(scripts)}")
    command = [sys.executable, str(scripts[0]), name, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ValueError(f"{scripts[0].name} {name} failed: {words[-1]}")
    return target


def complete(folder: Path, target: Path) -> Path:
    """`folder`, or a copy of it in `target` where its tokenizers lack the vocabulary, which this
    repository keeps once and compressed."""
    lacking = [
        path.parent.relative_to(folder)
        for path in folder.glob("tokenizers/*/tokenizer_config.json")
        if not (path.parent / "merges.txt").is_file()
    ]
    if not lacking:
        return folder
    shutil.copytree(folder, target, dirs_exist_ok=True)
    for tokenizer in lacking:
        write_vocabulary(target / tokenizer)
    return target


def write_vocabulary(target: Path) -> None:
    """merges.txt and vocab.json of the Qwen tokenizers: see data/NOTICE.md."""
    merges = lzma.decompress((DATA / "tokenizers" / "qwen_merges.txt.xz").read_bytes())
    (target / "merges.txt").write_bytes(merges)
    lines = merges.decode("utf-8").split("\n")[1:]
    entries = sorted(ByteLevel.alphabet()) + [text.replace(" ", "") for text in lines if text]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    text = json.dumps(vocabulary, ensure_ascii=False)
    (target / "vocab.json").write_text(text, encoding="utf-8")
