"""The verifier: does a checkpoint hold exactly the tensors its architecture needs?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from valley.families import Family, Origin, family_of, is_published
from valley.model.config import CONFIGS
from valley.model.files import read_json, tensor_headers, token_id
from valley.model.memory import Memory, measure
from valley.model.names import native_tensors
from valley.model.registry import MODELS


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint holds against what its architecture expects.

    Tensor names are the checkpoint's own. `stray`: tensors the family knows and does not use.
    `parameters`: numbers of them per part of the model, in the native architecture. `origins`:
    the checkpoint's own where its config.json says so, else its family's. `memory`: of the stored
    tensors, or of the architecture where only the config.json is there.
    """

    family: Family
    layout: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    stray: tuple[str, ...]
    tied: bool
    parameters: dict[str, int]
    origins: tuple[Origin, ...]
    memory: Memory
    placeholder: int | None

    @property
    def complete(self) -> bool:
        """Nothing missing, nothing left over, every shape as expected."""
        return not (self.missing or self.unexpected or self.mismatched or self.placeholder is None)


def inspect(directory: Path) -> Inspection:
    """Compare the headers of a checkpoint with its architecture, built without memory.

    Reads no weights. Raises ValueError for a checkpoint of no family.
    """
    config_json = read_json(directory / "config.json")
    family = family_of(config_json)
    published = is_published(config_json, family)
    config = CONFIGS[family.model_type].from_dict(config_json, name_or_path=str(directory))
    with torch.device("meta"):
        model = MODELS[type(config)](config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    stored = {name: tuple(entry["shape"]) for name, entry in tensor_headers(directory).items()}
    stray = {name for name in stored if published and name.startswith(family.layout.stray)}
    held = {
        native: (name, part)
        for name, shape in stored.items()
        if name not in stray
        for native, part in (native_tensors(name, shape, family) if published else [(name, shape)])
    }
    both = held.keys() & expected.keys()
    wrong = {held[key][0] for key in both if held[key][1] != expected[key]}
    unexpected = {held[key][0] for key in held.keys() - expected.keys()}
    parameters = count_parameters(expected, family)
    tower = getattr(config, "vision_config", None)
    towers = ("", tower.model_type) if tower else ("",)
    return Inspection(
        family=family,
        layout="published" if published else "native",
        matched=tuple(sorted(stored.keys() - stray - wrong - unexpected)),
        missing=tuple(sorted(expected.keys() - held.keys())),
        unexpected=tuple(sorted(unexpected)),
        mismatched=tuple(sorted(wrong)),
        stray=tuple(sorted(stray)),
        tied=config.tie_word_embeddings,
        parameters=parameters,
        origins=tuple(Origin(**o) for o in config_json.get("origins", ()))
        or tuple(o for o in family.origins if o.tower in towers),
        memory=measure(directory) if stored else Memory(sum(parameters.values()), 0),
        placeholder=token_id(directory, family.chat.image_token),
    )


def count_parameters(shapes: dict[str, tuple[int, ...]], family: Family) -> dict[str, int]:
    """Parameters per part; a tensor belongs to the first part that names its prefix."""
    counts = dict.fromkeys(family.parts, 0)
    for name, shape in shapes.items():
        part = family.part_of(name)
        counts[part] += math.prod(shape)
    return counts
