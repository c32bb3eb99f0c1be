"""An inspected checkpoint, for a person and as data."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from valley.counting import render_table
from valley.model.checkpoint import Inspection
from valley.model.memory import PRECISIONS

SHOWN = 5


def inspection_record(found: Inspection) -> dict[str, Any]:
    return {
        "family": found.family.name,
        "layout": found.layout,
        "parameters": {**found.parameters, "total": sum(found.parameters.values())},
        "matched": len(found.matched),
        "missing": list(found.missing),
        "unexpected": list(found.unexpected),
        "mismatched": list(found.mismatched),
        "ignored": list(found.stray),
        "head_tied": found.tied,
        "image_token_id": found.placeholder,
        "memory": {name: found.memory.needed(name) for name in PRECISIONS},
        "origins": [vars(origin) for origin in found.origins],
        "complete": found.complete,
    }


def inspection_table(found: Inspection) -> str:
    parts = Table(box=None, pad_edge=False)
    for column, justify in (
        ("part", "left"),
        ("parameters", "right"),
        ("origin", "left"),
        ("licence", "left"),
    ):
        parts.add_column(column, justify=justify)  # type: ignore[arg-type]
    origins = {origin.part: origin for origin in found.origins}
    for part, number in found.parameters.items():
        origin = origins.get(part)
        parts.add_row(
            part, f"{number:,}", origin.source if origin else "", origin.licence if origin else ""
        )
    parts.add_section()
    parts.add_row("in all", f"{sum(found.parameters.values()):,}", "", "")
    lines = [
        f"{found.family.title}, {found.layout} layout, "
        f"language head {'tied to the embeddings' if found.tied else 'stored'}",
        "",
        render_table(parts),
        "",
        f"tensors: {len(found.matched)} matched, {len(found.missing)} missing, "
        f"{len(found.unexpected)} unexpected, {len(found.mismatched)} of another shape, "
        f"{len(found.stray)} ignored",
    ]
    for label in ("missing", "unexpected", "mismatched", "stray"):
        names = getattr(found, label)
        lines += [f"  {label}: {name}" for name in names[:SHOWN]]
        lines += [f"  {label}: and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    if found.placeholder is None:
        lines.append(
            f"the tokenizer has no {found.family.chat.image_token}: pictures have no place"
        )
    lines += ["memory of the weights: " + found.memory.table()]
    return "\n".join(lines)
