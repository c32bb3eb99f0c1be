"""A published checkpoint as one in the native layout, without a copy of its weights. Torch-free.

For programs that know the native `model_type`s alone. The tensors keep their published names.
"""

from __future__ import annotations

from pathlib import Path

from valley.families import family_of, is_published
from valley.model.convert import copy_companions, native_json, write_json
from valley.model.files import read_json, weight_files


def native_view(directory: Path, target: Path) -> Path:
    """`directory` itself where it is native; else `target`, filled with the native config.json, the
    small files and links to the weights."""
    config = read_json(directory / "config.json")
    if not is_published(config, family_of(config)):
        return directory
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / "config.json", native_json(directory, config))
    copy_companions(directory, target)
    index = directory / "model.safetensors.index.json"
    for file in [*weight_files(directory), *([index] if index.is_file() else [])]:
        (target / file.name).symlink_to(file.resolve())
    return target
