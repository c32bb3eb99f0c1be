"""What the two runners print: one line a case, what went wrong, and the count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from golden.compare import Finding


@dataclass(frozen=True)
class Result:
    """One case of one set. `error`: why it could not be compared at all."""

    group: str
    case: str
    findings: tuple[Finding, ...] = ()
    error: str | None = None

    @property
    def problems(self) -> list[str]:
        found = [finding.problem for finding in self.findings if finding.problem]
        return [self.error, *found] if self.error else found

    @property
    def passed(self) -> bool:
        return not self.problems


def guarded(group: str, case: str, check: Callable[[], tuple[Finding, ...]]) -> Result:
    """The result of a check; what it raises is the failure of its case."""
    try:
        return Result(group, case, check())
    except Exception as error:
        return Result(group, case, error=f"{type(error).__name__}: {error}")


def line(result: Result, widths: tuple[int, int]) -> str:
    """Set, case, verdict and the largest difference per key; `!` marks what is too large."""
    cells = [f"{finding.key} {_number(finding):<8}" for finding in result.findings]
    head = f"{result.group:<{widths[0]}}  {result.case:<{widths[1]}}  "
    return (head + ("PASS" if result.passed else "FAIL") + "  " + " ".join(cells)).rstrip()


def _number(finding: Finding) -> str:
    mark = "!" if finding.problem else ""
    return f"{finding.difference:.2g}{mark}"


def show(results: Sequence[Result], notes: Sequence[str] = ()) -> int:
    """Print all results; the exit status."""
    by_group: dict[str, list[Result]] = {}
    for result in results:
        by_group.setdefault(result.group, []).append(result)
    for group, members in by_group.items():
        widths = (len(group), max(len(result.case) for result in members))
        for result in members:
            print(line(result, widths))
    failed = [result for result in results if not result.passed]
    for result in failed:
        print(f"\nFAILED {result.group} {result.case}")
        for problem in result.problems:
            print(f"  {problem}")
    if notes:
        print()
    for note in notes:
        print(note)
    if not results:
        print("\nno case was found to check")
    print(f"\n{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not results else 0
