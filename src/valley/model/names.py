"""Tensor names of the published and the native layout. Torch-free."""

from __future__ import annotations

from valley.families import Family


def native_name(published: str, family: Family) -> str:
    """The native name of a tensor of the published layout."""
    for source, target in family.layout.key_rules:
        if published.startswith(source):
            return target + published.removeprefix(source)
    return published


def published_name(native: str, family: Family) -> str:
    """The published name of a tensor of the native layout."""
    for target, source in family.layout.key_rules:
        if native.startswith(source):
            return target + native.removeprefix(source)
    return native
