"""Rows: encoded conversations one after another, as tensors, without padding.

Positions begin anew with each conversation, attention stays inside it (`model/segments.py`), and no
conversation's first token is a target of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from valley.encoding import Encoded, pixel_tensors
from valley.prompt import IGNORE_INDEX

#: How the weight of each supervised token depends on their number in a conversation.
WEIGHTINGS: dict[str, Callable[[int], float]] = {
    "token": lambda n: 1.0,
    "sample": lambda n: 1.0 / n,
    "square": lambda n: n**-0.5,
}


@dataclass(frozen=True)
class Row:
    """inputs: arguments of the model, ids as `[1, T]`. labels, weights `[1, T]`: targets (-100:
    none) and what each counts in the loss. owner `[1, T]`: the number of the conversation that a
    token belongs to. pictures: how many there are."""

    inputs: dict[str, Tensor | int | dict[str, Tensor]]
    labels: Tensor
    weights: Tensor
    owner: Tensor
    pictures: int

    @property
    def tokens(self) -> int:
        return self.labels.shape[1]

    def to(self, device: torch.device | str) -> Row:
        def moved(value: Tensor | int | dict[str, Tensor]) -> Tensor | int | dict[str, Tensor]:
            if isinstance(value, dict):
                return {name: tensor.to(device) for name, tensor in value.items()}
            return value.to(device) if isinstance(value, Tensor) else value

        return replace(
            self,
            inputs={name: moved(value) for name, value in self.inputs.items()},
            labels=self.labels.to(device),
            weights=self.weights.to(device),
            owner=self.owner.to(device),
        )


def make_row(
    conversations: Sequence[Encoded],
    weighting: str = "token",
    unseen: dict[str, Tensor] | None = None,
) -> Row:
    """The row of some conversations.

    unseen: pixels of a picture that keeps the towers at work where the row has none, which a
    training on several ranks needs.
    """
    lengths = torch.tensor([len(item.input_ids) for item in conversations])
    bounds = torch.cat([torch.zeros(1), lengths.cumsum(0)]).to(torch.int32)
    labels, weights = [], []
    for item in conversations:
        targets = torch.tensor(item.labels)
        targets[0] = IGNORE_INDEX  # nothing of its own conversation comes before it
        asked = targets != IGNORE_INDEX
        labels.append(targets)
        weights.append(asked * WEIGHTINGS[weighting](max(1, int(asked.sum()))))
    plans = [plan for item in conversations for plan in item.plans]
    pixels = pixel_tensors(
        [array for item in conversations for array in item.patches],
        [array for item in conversations for array in item.tiles],
        plans,
    )
    longest = int(lengths.max())
    inputs: dict[str, Tensor | int | dict[str, Tensor]] = {
        "input_ids": torch.tensor([n for item in conversations for n in item.input_ids])[None],
        "position_ids": torch.cat([torch.arange(n) for n in lengths.tolist()])[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
        **pixels,
    }
    if unseen and not plans:
        inputs["unseen_pictures"] = unseen
    owner = torch.arange(len(conversations)).repeat_interleave(lengths)
    return Row(inputs, torch.cat(labels)[None], torch.cat(weights)[None], owner[None], len(plans))


def sums_by_owner(values: Tensor, row: Row) -> Tensor:
    """`[1, T]` values added up for each conversation of a row: `[C]`."""
    number = int(row.owner[0, -1]) + 1
    return values.new_zeros(number).index_add(0, row.owner[0], values[0])
