"""Rewrite a checkpoint from one layout to the other, bit for bit. Torch-free.

The layouts differ in tensor names and in config.json. The bytes of the tensors are copied as they
are, file by file, so that memory stays small and equality holds by construction.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from valley.families import family_of, is_published
from valley.model.files import read_header, read_json, tensor_shapes, token_id, weight_files
from valley.model.names import native_name, published_name

Layout = Literal["native", "published"]
INDEX = "model.safetensors.index.json"
#: Files copied as they are, besides the weights: data only, never Python.
COPIED = (
    "generation_config.json",
    "*.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "LICENSE*",
    "NOTICE*",
)
#: JSON files whose `auto_map` would point at Python that is not copied.
CLEANED = ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json")


def convert(source: Path, target: Path, layout: Layout) -> int:
    """Write `source` to `target` in a layout and check every tensor; the number of tensors.

    Raises ValueError if `target` holds files already or a tensor would not come out bit-equal.
    """
    config = read_json(source / "config.json")
    family = family_of(config)
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty: give a new directory")
    rename = _renaming(is_published(config, family), layout, family)
    target.mkdir(parents=True, exist_ok=True)
    for file in weight_files(source):
        _copy_weights(file, target / file.name, rename)
    if index := read_json(source / INDEX):
        index["weight_map"] = {rename(name): file for name, file in index["weight_map"].items()}
        _write_json(target / INDEX, index)
    _write_json(target / "config.json", _config(source, config, layout))
    _copy_companions(source, target)
    return _compare(source, target, rename)


def _renaming(published: bool, layout: Layout, family: Any) -> Callable[[str], str]:
    if published and layout == "native":
        return lambda name: native_name(name, family)
    if not published and layout == "published":
        return lambda name: published_name(name, family)
    return lambda name: name


def _config(source: Path, config: dict[str, Any], layout: Layout) -> dict[str, Any]:
    family = family_of(config)
    published = is_published(config, family)
    if published and layout == "native":
        native = family.layout.to_native(config, tensor_shapes(source))
        return native | {"image_token_id": token_id(source, family.chat.image_token)}
    if not published and layout == "published":
        return family.layout.to_published(config)
    return {key: value for key, value in config.items() if key != "auto_map"}


def _copy_weights(source: Path, target: Path, rename: Callable[[str], str]) -> None:
    """The same file with other names in its header."""
    with source.open("rb") as reader, target.open("wb") as writer:
        length = int.from_bytes(reader.read(8), "little")
        header = json.loads(reader.read(length))
        names = {name: name if name == "__metadata__" else rename(name) for name in header}
        text = json.dumps({names[name]: entry for name, entry in header.items()}).encode()
        text += b" " * (-len(text) % 8)  # tensors start aligned to eight bytes
        writer.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(reader, writer, 2**24)


def _copy_companions(source: Path, target: Path) -> None:
    for pattern in COPIED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
    for name in CLEANED:
        if content := read_json(source / name):
            content.pop("auto_map", None)
            _write_json(target / name, content)


def _compare(source: Path, target: Path, rename: Callable[[str], str]) -> int:
    before = {rename(name): digest for name, digest in digests(source).items()}
    if before != digests(target):
        raise ValueError(f"{target} is not bit-equal to {source}: delete it and try again")
    return len(before)


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of dtype, shape and bytes of every tensor of a checkpoint."""
    result: dict[str, str] = {}
    for file in weight_files(directory):
        with file.open("rb") as stream:
            base = 8 + int.from_bytes(stream.read(8), "little")
            for name, entry in read_header(file).items():
                start, end = entry["data_offsets"]
                digest = hashlib.sha256(f"{entry['dtype']}{entry['shape']}".encode())
                stream.seek(base + start)
                for _ in range(start, end, 2**24):
                    digest.update(stream.read(min(2**24, base + end - stream.tell())))
                result[name] = digest.hexdigest()
    return result


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
