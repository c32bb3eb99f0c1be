"""A checkpoint as files: where it is, what its JSON says, which tensors its headers list.

Torch-free, and nothing but JSON and safetensors headers is read.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub as hub  # loads its parts on first use

from valley.families import family_of, is_published
from valley.families.base import Config

# Nothing is reported to anybody; downloads stay possible.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

#: The only files of a repository that are ever downloaded: no Python, no pickles.
DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "vocab.*", "merges.txt")
NANO = Path(__file__).parent.parent / "nano"
#: Bytes of one safetensors element by its dtype name.
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


def locate(
    model: str | os.PathLike[str], revision: str | None = None, *, weights: bool = True
) -> Path:
    """The directory of a checkpoint: `nano`, a local directory, or a hub name (downloaded, without
    `weights` only its small files).

    Raises ValueError if there is no such directory and the hub cannot be asked.
    """
    name = os.fspath(model)
    path = NANO if name == "nano" else Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"{name} holds no config.json: give the directory of a checkpoint")
        return path
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ValueError(
            f"there is no checkpoint directory {name}: give `nano`, a directory or a hub name"
        )
    try:
        wanted = [pattern for pattern in DOWNLOADED if weights or pattern != "*.safetensors"]
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} is neither a directory nor to be had from the hub ({type(error).__name__}): "
            "give a downloaded directory, or `nano`"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, {} if there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object")
    return value


def native_config(config: Config, location: str | os.PathLike[str]) -> Config:
    """A config.json of either layout in the native one; Python files it names are dropped.

    `location`: where the tensors are whose shapes a published config leaves out.
    """
    family = family_of(config)
    if not is_published(config, family):
        return {key: value for key, value in config.items() if key != "auto_map"}
    return family.layout.to_native(config, tensor_shapes(location))


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a checkpoint, shards in the order of their index."""
    index = read_json(directory / "model.safetensors.index.json")
    names = sorted(set(index.get("weight_map", {}).values())) or ["model.safetensors"]
    files = [directory / name for name in names]
    for file in files:
        if file.parent != directory:
            raise ValueError(f"the index of {directory} names a file outside it: {file.name}")
    return [file for file in files if file.is_file()]


def read_header(file: Path) -> dict[str, dict[str, Any]]:
    """Name -> {dtype, shape, data_offsets} of the tensors in a safetensors file."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(100_000_000, file.stat().st_size - 8):
            raise ValueError(f"{file} is not a safetensors file")
        try:
            header = json.loads(stream.read(length))
        except (UnicodeDecodeError, json.JSONDecodeError):
            raise ValueError(f"{file} is not a safetensors file") from None
    header.pop("__metadata__", None)
    return header


def tensor_headers(directory: Path) -> dict[str, dict[str, Any]]:
    """Headers of every tensor of a checkpoint directory."""
    return {
        name: entry for file in weight_files(directory) for name, entry in read_header(file).items()
    }


def tensor_shapes(location: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of a checkpoint's tensors, from a directory or a hub name; {} where unknown."""
    name = os.fspath(location)
    if not name:
        return {}
    if Path(name).is_dir():
        headers = tensor_headers(Path(name))
        return {tensor: tuple(entry["shape"]) for tensor, entry in headers.items()}
    try:
        metadata = hub.get_safetensors_metadata(name)
    except (OSError, ValueError):
        return {}
    return {
        tensor: tuple(info.shape)
        for file in metadata.files_metadata.values()
        for tensor, info in file.tensors.items()
    }


def token_id(location: str | os.PathLike[str], token: str) -> int | None:
    """The id of an added token in the tokenizer files of a checkpoint, None if it has none."""
    name = os.fspath(location)
    if not name:
        return None
    return _added_tokens(name).get(token)


@cache
def _added_tokens(location: str) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for file in ("tokenizer.json", "tokenizer_config.json", "added_tokens.json"):
        content = read_json(path) if (path := _cached(location, file)) else {}
        if file == "added_tokens.json":
            tokens.update(content)
        elif file == "tokenizer.json":
            tokens.update(
                {entry["content"]: entry["id"] for entry in content.get("added_tokens", [])}
            )
        else:
            decoder = content.get("added_tokens_decoder", {})
            tokens.update({entry["content"]: int(number) for number, entry in decoder.items()})
    return tokens


def _cached(location: str, file: str) -> Path | None:
    if Path(location).is_dir():
        return Path(location) / file
    found = hub.try_to_load_from_cache(location, file)
    return Path(found) if isinstance(found, str) else None
