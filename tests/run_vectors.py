"""Check vector files: `python tests/run_vectors.py FILE…`.

A vector file is a JSON object of sections, every value of which is compared, or has one vector of
an evaluation function a line (`.jsonl`, also compressed: `.jsonl.xz`). Sections whose part of the
package is not built yet are listed before the count and are not part of it; unknown sections and
functions fail. Ends with `N passed, M failed`; the exit status is 1 if any case failed or none was
found.
"""

from __future__ import annotations

import argparse
import json
import lzma
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from golden import eval_vectors, folders, valley2_vectors
from golden.report import Result, show
from golden.valley2_vectors import Valley2Vectors
from golden.vectors import NOT_YET, Valley25Vectors

TOKENIZER_SET = "valley2_5_tiny_a"


class Checker(Protocol):
    """What turns the sections of a file into results, by their names."""

    @property
    def sections(self) -> Mapping[str, Callable[[str, Any], Iterator[Result]]]: ...


def check_sections(group: str, vectors: Mapping[str, Any], checker: Checker) -> Iterator[Result]:
    """One result a case. Sections not yet checked give none."""
    for name, section in vectors.items():
        if name not in checker.sections:
            yield Result(group, name, error=f"no checker for section {name}")
            continue
        if name in NOT_YET:
            section = {part: v for part, v in section.items() if part not in NOT_YET[name]}
        yield from checker.sections[name](group, section)


def not_yet(group: str, vectors: Mapping[str, Any]) -> list[str]:
    """What later parts of the package will check."""
    return [
        f"not checked yet: {group} {name}.{part}"
        for name, section in vectors.items()
        if name in NOT_YET
        for part in section
        if part in NOT_YET[name]
    ]


def read_vectors(path: Path) -> dict[str, Any]:
    """The sections of a file. Raises ValueError where it is no JSON object."""
    vectors = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(vectors, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return vectors


def read_lines(path: Path) -> list[Any]:
    """The objects of a file of JSON lines. Raises ValueError where a line is none, or none is."""
    read = lzma.open if path.suffix == ".xz" else open
    with read(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if not rows:
        raise ValueError(f"{path.name} holds no line")
    return rows


def checked(path: Path, scratch: Path) -> tuple[list[Result], list[str]]:
    """The results of a file, and what of it is not checked yet."""
    group = path.name.partition(".")[0]
    if ".jsonl" in path.suffixes:
        return list(eval_vectors.check(group, read_lines(path))), []
    vectors = read_vectors(path)
    checker = checker_of(vectors, scratch)
    return list(check_sections(group, vectors, checker)), not_yet(group, vectors)


def checker_of(vectors: Mapping[str, Any], scratch: Path) -> Checker:
    """The checker of a file, with the checkpoint it needs written below `scratch`."""
    folder = folders.complete(folders.VALLEY, scratch / "folder")
    if not Valley2Vectors.takes(vectors):
        target = scratch / "valley2_5"
        if not target.exists():
            folders.write_checkpoint(folder, TOKENIZER_SET, target)
        return Valley25Vectors(target)
    target = scratch / "valley2"
    if not target.exists():
        valley2_vectors.write_checkpoint(target, folder / "tokenizers" / "valley2")
    return Valley2Vectors(target)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    results: list[Result] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for file in asked.files:
            try:
                found, missing = checked(file, Path(scratch))
            except (OSError, ValueError) as error:
                found, missing = [Result(file.stem, "file", error=f"no vectors: {error}")], []
            results += found
            notes += missing
    return show(results, notes)


if __name__ == "__main__":
    raise SystemExit(main())
