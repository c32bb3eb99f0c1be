"""How hard a sample is for the policy, and mixes of samples by it (Valley2.5 report, RL data)."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Difficulty: TypeAlias = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
#: Domains that a mix counts for themselves, whatever their difficulty.
OWN_GROUPS = ("video", "gui")


def difficulty(passes: int, rollouts: int) -> Difficulty:
    """All of the rollouts right: easy; none: hard; else medium."""
    if rollouts < 1 or not 0 <= passes <= rollouts:
        raise ValueError(f"{passes} passes of {rollouts} rollouts: give 0 <= passes <= rollouts")
    if passes == rollouts:
        return "easy"
    return "medium" if passes else "hard"


@dataclass(frozen=True)
class Labelled:
    """A sample by its id. `difficulty` may be None in the domains of `OWN_GROUPS`."""

    id: str
    domain: str
    difficulty: Difficulty | None = None

    @property
    def group(self) -> str:
        if self.domain in OWN_GROUPS:
            return self.domain
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(
                f"sample {self.id!r} has no difficulty: use one of {', '.join(DIFFICULTIES)}"
            )
        return self.difficulty


@dataclass(frozen=True)
class Strategy:
    """`counts`: samples of each group as published. `balanced`: so many of them are kept, as
    evenly over domains as there are samples."""

    counts: Mapping[str, int]
    balanced: int | None = None

    @property
    def size(self) -> int:
        return self.balanced or sum(self.counts.values())


_MEDIUM = {"medium": 63_000, "video": 10_000, "gui": 3_000}
_ALL = {"easy": 12_000, "medium": 36_000, "hard": 12_000, "video": 10_000, "gui": 3_000}
#: The published run took S2, after text-only training.
STRATEGIES: Mapping[str, Strategy] = {
    "S1": Strategy(_MEDIUM),
    "S2": Strategy(_ALL),
    "S3": Strategy(_MEDIUM, balanced=25_000),
    "S4": Strategy(_ALL, balanced=25_000),
}


def draw(
    records: Iterable[Labelled], strategy: str, *, size: int | None = None, seed: int = 0
) -> list[Labelled]:
    """A mix in the published ratios, shuffled; the same for the same records and seed.

    `size`: samples of the result; by default the published number, or as many as the scarcest
    group allows. Raises ValueError where a given size cannot be drawn.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}: use one of {', '.join(STRATEGIES)}")
    plan, generator = STRATEGIES[strategy], random.Random(seed)
    groups: dict[str, list[Labelled]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        groups[record.group].append(record)
    most = _largest_mix(plan.counts, {group: len(members) for group, members in groups.items()})
    wanted = most if plan.balanced else size
    if (size or 0) > most or most == 0:
        held = ", ".join(f"{len(groups[group])} {group}" for group in plan.counts)
        raise ValueError(
            f"{strategy} of {size or 'any'} samples needs more than {held}: the largest has {most}"
        )
    shares = _apportion(min(wanted or most, sum(plan.counts.values())), plan.counts)
    mix = [
        record for group in plan.counts for record in generator.sample(groups[group], shares[group])
    ]
    if plan.balanced:
        mix = _balance(mix, min(size or plan.balanced, len(mix)), generator)
    generator.shuffle(mix)
    return mix


def _largest_mix(counts: Mapping[str, int], held: Mapping[str, int]) -> int:
    """The largest size whose shares the held samples cover."""
    whole = sum(counts.values())
    size = min(held.get(group, 0) * whole // count for group, count in counts.items())
    while size and any(n > held.get(g, 0) for g, n in _apportion(size, counts).items()):
        size -= 1
    return size


def _apportion(size: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Whole shares of `size` in the ratios of `counts`, by largest remainder."""
    whole = sum(counts.values())
    shares = {group: size * count // whole for group, count in counts.items()}
    by_remainder = sorted(counts, key=lambda group: -(size * counts[group] % whole))
    for group in by_remainder[: size - sum(shares.values())]:
        shares[group] += 1
    return shares


def _balance(mix: Sequence[Labelled], size: int, generator: random.Random) -> list[Labelled]:
    """`size` samples: every domain gives the same number, or all where it has fewer."""
    domains: dict[str, list[Labelled]] = defaultdict(list)
    for record in mix:
        domains[record.domain].append(record)
    kept: list[Labelled] = []
    smallest_first = sorted(domains, key=lambda domain: (len(domains[domain]), domain))
    for left, domain in zip(range(len(domains), 0, -1), smallest_first, strict=True):
        share = (size - len(kept)) // left
        kept += generator.sample(domains[domain], min(share, len(domains[domain])))
    return kept


def informative(
    groups: Sequence[Sequence[float]], *, low: float = 0.01, high: float = 0.99, best: float = 1.0
) -> list[int]:
    """Places of the groups from which GRPO learns something: those whose rewards differ, and whose
    mean reward, as a share of `best`, lies above `low` and below `high`. The others are all wrong
    or all right.

    `best`: the largest reward there is, 1 for accuracy and 1 + lambda for a total.
    """
    for group in groups:
        if not group or not all(0 <= reward <= best for reward in group):
            raise ValueError(
                f"rewards of a group must lie in [0, {best}], got {list(group)!r:.200}"
            )
    return [
        i
        for i, group in enumerate(groups)
        if min(group) < max(group) and low < math.fsum(group) / len(group) / best < high
    ]
