"""Check golden folders: `python tests/run_golden.py FOLDER… [--only PREFIX]`.

A folder holds make_tiny*.py and, per set, NAME.json (what the script writes) and NAME.golden.json
(cases with expected values). Every key under `expected` is compared; what no checker knows fails.
Ends with `N passed, M failed`; the exit status is 1 if any case failed or none was found.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from golden import folders
from golden.compare import Finding, compare_as
from golden.report import Result, show
from golden.sail import SailCases
from golden.valley import ChatCall, PublishedCall


class Checker(Protocol):
    """How cases of one form are computed. It holds a loaded checkpoint; `values(case)` has the
    keys of `expected` as attributes, and says in `KINDS` how each is compared."""

    def __init__(self, folder: Path, golden: Mapping[str, Any], checkpoint: Path) -> None: ...

    @staticmethod
    def takes(case: Mapping[str, Any]) -> bool: ...

    def values(self, case: Mapping[str, Any]) -> Any: ...


#: The forms of cases that can be checked. Another family adds its class here.
CHECKERS: tuple[type[Checker], ...] = (PublishedCall, ChatCall, SailCases)


def checker_of(case: Mapping[str, Any]) -> type[Checker] | None:
    return next((checker for checker in CHECKERS if checker.takes(case)), None)


def form_of(case: Mapping[str, Any]) -> str:
    """The words that tell what form a case has."""
    return " ".join(f"{k} {case[k]!r}" for k in ("path", "kind", "mode") if k in case) or "no path"


def judge(name: str, case: Mapping[str, Any], values: Any) -> Result:
    """Compare every expected key of a case with the computed `values`."""
    findings = tuple(_finding(key, wanted, values) for key, wanted in case["expected"].items())
    error = None if findings else "the case expects nothing"
    return Result(name, case["id"], findings, error)


def _finding(key: str, expected: Any, values: Any) -> Finding:
    if key not in values.KINDS or not hasattr(type(values), key):
        return Finding(key, float("inf"), f"unknown key {key}: no checker computes it")
    try:
        return compare_as(values.KINDS[key], key, expected, getattr(values, key))
    except Exception as error:  # whatever a case makes fail is that case's failure
        return Finding(key, float("inf"), f"{key}: {_first_line(error)}")


def check_set(
    folder: Path, name: str, only: str = "", checkpoint: Path | None = None
) -> Iterator[Result]:
    """All cases of a set whose set name or id begins with `only`."""
    golden = folders.read(folder / f"{name}.golden.json")
    cases = [
        case for case in golden["cases"] if name.startswith(only) or case["id"].startswith(only)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        loaded: dict[type[Checker], Checker | str] = {}
        for case in cases:
            kind = checker_of(case)
            if kind is None:
                yield Result(name, case["id"], error=f"no checker for {form_of(case)}")
                continue
            if kind not in loaded:
                loaded[kind] = _load(kind, folder, name, golden, checkpoint or Path(scratch) / name)
            yield _check(name, case, loaded[kind])


def _load(
    kind: type[Checker], folder: Path, name: str, golden: Mapping[str, Any], checkpoint: Path
) -> Checker | str:
    try:
        if not checkpoint.is_dir():
            folders.write_checkpoint(folder, name, checkpoint)
        return kind(folder, golden, checkpoint)
    except Exception as error:  # the reason becomes the failure of each case
        return f"the checkpoint does not load: {_first_line(error)}"


def _check(name: str, case: Mapping[str, Any], checker: Checker | str) -> Result:
    if isinstance(checker, str):
        return Result(name, case["id"], error=checker)
    try:
        return judge(name, case, checker.values(case))
    except Exception as error:
        return Result(name, case.get("id", "?"), error=_first_line(error))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def check_folder(folder: Path, only: str = "") -> Iterator[Result]:
    """All sets of a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = folders.complete(folder, Path(scratch) / "folder")
        for name in folders.sets(folder):
            yield from check_set(folder, name, only)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--only", default="", metavar="PREFIX", help="begin of a set's name or case id"
    )
    asked = parser.parse_args(arguments)
    for folder in asked.folders:
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
        if not folders.sets(folder):
            parser.error(f"{folder} holds no *.golden.json")
    return show([result for folder in asked.folders for result in check_folder(folder, asked.only)])


if __name__ == "__main__":
    raise SystemExit(main())
