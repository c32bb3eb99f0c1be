"""The curves of a training, as a picture beside its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = "curves.png"
#: Panels: their title and the figures of the log that they show, where it has them.
PANELS = (
    ("loss", ("loss", "eval_loss")),
    ("learning rate", ("learning_rate",)),
    ("gradient norm", ("grad_norm",)),
    ("tokens a second", ("tokens_per_second",)),
    ("share of pairs right, replies right", ("accuracy", "eval_accuracy", "format")),
    ("margin of chosen over rejected", ("margin",)),
    ("reward", ("reward",)),
    ("tokens of a reply", ("reply_tokens",)),
)


def draw_curves(history: Sequence[Mapping[str, Any]], file: Path) -> None:
    """One panel for each kind of figure in the log of a training; nothing without any."""
    from matplotlib.figure import Figure

    known = {name for row in history for name in row}
    shown = [(title, [n for n in names if n in known]) for title, names in PANELS]
    shown = [(title, names) for title, names in shown if names]
    if not shown:
        return
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(10, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, squeeze=False).flatten()
    for panel, (title, names) in zip(grid, shown, strict=False):
        for name in names:
            points = [(row["step"], row[name]) for row in history if name in row]
            steps, values = zip(*points, strict=True)
            panel.plot(steps, values, marker="." if len(steps) < 40 else "", label=name)
        panel.set_title(title, fontsize=10, loc="left")
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            panel.legend(frameon=False, fontsize=8)
    for panel in grid[len(shown) :]:
        panel.set_axis_off()
    for panel in grid[max(0, len(shown) - 2) : len(shown)]:
        panel.set_xlabel("step", fontsize=9)
    figure.savefig(file, dpi=120)
