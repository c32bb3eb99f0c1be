"""Tensor names of the published and the native layout. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from valley.families import Family

Shape = tuple[int, ...]


def native_name(published: str, family: Family) -> str:
    """The native name of a tensor of the published layout."""
    return _renamed(published, family.layout.key_rules)


def published_name(native: str, family: Family) -> str:
    """The published name of a tensor of the native layout."""
    whole, parts = family.layout.fused
    for part in parts:
        native = native.replace(part, whole)
    return _renamed(native, ((target, source) for source, target in family.layout.key_rules))


def native_tensors(published: str, shape: Shape, family: Family) -> list[tuple[str, Shape]]:
    """The native tensors and their shapes that a published one holds, in the order of its rows."""
    name = native_name(published, family)
    if published in family.layout.flattened and shape[0] == 1:
        shape = shape[1:]
    whole, parts = family.layout.fused
    if not parts or whole not in name or shape[0] % len(parts):
        return [(name, shape)]
    rows = (shape[0] // len(parts), *shape[1:])
    return [(name.replace(whole, part), rows) for part in parts]


def _renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for source, target in rules:
        if match := pattern(source).match(name):
            number = match[1] if match.groups() else ""
            return target.replace("*", number) + name[match.end() :]
    return name


@cache
def pattern(prefix: str) -> re.Pattern[str]:
    """A tensor-name prefix as a regular expression, `*` capturing the number of a layer."""
    return re.compile(re.escape(prefix).replace(r"\*", r"(\d+)"))
