"""The call form of the published Valley code: one -200 for each picture, no attention mask."""

from __future__ import annotations

from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Model = TypeVar("Model", bound=Any)

SENTINEL = -200


def takes_sentinels(cls: type[Model]) -> type[Model]:
    """Class decorator: `forward` and `generate` also take the published arguments.

    A row of `input_ids` holds -200 where a picture belongs, whatever its number of tokens. The
    ids returned by `generate` begin with the ids that were passed, so that
    `output[:, input_ids.shape[1]:]` is the reply. A line that has no use for `images` and
    `image_sizes` accepts them.
    """
    inner_forward, inner_generate = cls.forward, cls.generate

    # generate() reads the signature of forward, which `wraps` keeps.
    @wraps(inner_forward)
    def forward(self: Any, input_ids: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        input_ids, kwargs = _without_sentinels(self, input_ids, kwargs)
        return inner_forward(self, input_ids, *args, **kwargs)

    @wraps(inner_generate)
    def generate(self: Any, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        asked = kwargs.pop("input_ids", inputs)
        input_ids, kwargs = _without_sentinels(self, asked, kwargs)
        result = inner_generate(self, input_ids, *args, **kwargs)
        if input_ids is None or input_ids is asked:
            return result
        return _with_prompt(result, asked, input_ids)

    cls.forward, cls.generate = forward, generate
    return cls


def _with_prompt(result: Any, asked: Tensor, expanded: Tensor) -> Any:
    """What `generate` returned, its expanded prompt replaced by the one that was passed."""
    sequences = result if isinstance(result, Tensor) else result.sequences
    prompt = asked.repeat_interleave(len(sequences) // len(asked), dim=0).to(sequences.device)
    sequences = torch.cat([prompt, sequences[:, expanded.shape[1] :]], dim=1)
    if isinstance(result, Tensor):
        return sequences
    result.sequences = sequences
    return result


def _without_sentinels(
    model: Any, input_ids: Tensor | None, kwargs: dict[str, Any]
) -> tuple[Tensor | None, dict[str, Any]]:
    """The call with placeholders for sentinels and encoded pictures, or as it was."""
    images = kwargs.pop("images", None)
    if input_ids is None or not bool((input_ids == SENTINEL).any()):
        return input_ids, kwargs
    kwargs |= model.model.published_pictures(images, kwargs.pop("image_sizes", None))
    pictures = model.model.take_pictures(kwargs)
    if not pictures:
        raise ValueError("input_ids hold -200 for a picture, but no pixel_values were passed")
    features = model.model.get_image_features(**pictures)
    counts = [len(item) for item in features.pooler_output]
    kwargs["mm_encoder_outputs"] = {"image": features}
    side = "right" if model.training else "left"
    rows = _expand(
        input_ids, counts, model.config.image_token_id, kwargs.pop("attention_mask", None)
    )
    input_ids, kwargs["attention_mask"] = _pad(rows, side)
    if (labels := kwargs.get("labels")) is not None:
        kwargs["labels"] = _spread_labels(labels, input_ids, kwargs["attention_mask"], rows)
    return input_ids, kwargs


def _expand(
    input_ids: Tensor, counts: list[int], image_token_id: int, attention_mask: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    """Per row: its ids without padding, placeholders expanded, and where each id came from."""
    if (asked := int((input_ids == SENTINEL).sum())) != len(counts):
        raise ValueError(f"the prompt has {asked} pictures (-200), {len(counts)} were passed")
    rows = []
    remaining = iter(counts)
    for index, row in enumerate(input_ids):
        kept = torch.arange(len(row), device=row.device)
        if attention_mask is not None:
            kept = kept[attention_mask[index].bool()]
        repeats = torch.tensor(
            [next(remaining) if value == SENTINEL else 1 for value in row[kept].tolist()],
            device=row.device,
        )
        origin = kept.repeat_interleave(repeats)
        ids = row[origin]
        rows.append((torch.where(ids == SENTINEL, image_token_id, ids), origin))
    return rows


def _pad(rows: list[tuple[Tensor, Tensor]], side: str) -> tuple[Tensor, Tensor]:
    ids = [row for row, _ in rows]
    pad = torch.nn.utils.rnn.pad_sequence
    input_ids = pad(ids, batch_first=True, padding_value=0, padding_side=side)
    mask = pad([torch.ones_like(row) for row in ids], batch_first=True, padding_side=side)
    return input_ids, mask


def _spread_labels(
    labels: Tensor, input_ids: Tensor, mask: Tensor, rows: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """Labels moved to where their ids went; a picture has none."""
    spread = torch.full_like(input_ids, -100)
    for index, (_, origin) in enumerate(rows):
        spread[index, mask[index].bool()] = labels[index][origin]
    return spread
