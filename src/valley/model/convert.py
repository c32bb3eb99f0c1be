"""Rewrite a checkpoint from one layout to the other, bit for bit. Torch-free.

The layouts differ in tensor names, in config.json and in what is kept as one tensor. Bytes are
copied as they are, so that memory stays small and equality holds by construction.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from valley.families import Family, family_of, is_published
from valley.model.files import read_header, read_json, tensor_shapes, token_id, weight_files
from valley.model.names import Shape, native_tensors, published_name

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


@dataclass(frozen=True)
class Tensor:
    """A tensor to be written: its bytes are those of `pieces` (file, start, end), in order."""

    dtype: str
    shape: Shape
    pieces: tuple[tuple[Path, int, int], ...]

    def chunks(self) -> Iterator[bytes]:
        for file, start, end in self.pieces:
            with file.open("rb") as stream:
                stream.seek(start)
                while start < end:
                    chunk = stream.read(min(2**24, end - start))
                    start += len(chunk)
                    yield chunk

    @property
    def num_bytes(self) -> int:
        return sum(end - start for _, start, end in self.pieces)

    def digest(self) -> str:
        """SHA-256 of dtype, shape and bytes."""
        digest = hashlib.sha256(f"{self.dtype}{list(self.shape)}".encode())
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def convert(source: Path, target: Path, layout: Layout) -> int:
    """Write `source` to `target` in a layout and check every tensor; the number of tensors.

    Raises ValueError if `target` holds files already or a tensor would not come out bit-equal.
    """
    config = read_json(source / "config.json")
    family = family_of(config)
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty: give a new directory")
    tensors = tensors_of(source)
    published = is_published(config, family)
    if published and layout == "native":
        tensors = _to_native(tensors, family)
    elif not published and layout == "published":
        tensors = _to_published(tensors, family)
    target.mkdir(parents=True, exist_ok=True)
    files = {name: tensor.pieces[0][0].name for name, tensor in tensors.items()}
    for file in dict.fromkeys(files.values()):
        part = {name: tensor for name, tensor in tensors.items() if files[name] == file}
        _write_weights(target / file, part)
    if index := read_json(source / INDEX):
        write_json(target / INDEX, {**index, "weight_map": files})
    write_json(target / "config.json", _config(source, config, layout))
    copy_companions(source, target)
    if {name: tensor.digest() for name, tensor in tensors.items()} != digests(target):
        raise ValueError(f"{target} is not bit-equal to {source}: delete it and try again")
    return len(tensors)


def tensors_of(directory: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint as they lie in its files."""
    found = {}
    for file in weight_files(directory):
        with file.open("rb") as stream:
            base = 8 + int.from_bytes(stream.read(8), "little")
        for name, entry in read_header(file).items():
            start, end = entry["data_offsets"]
            place = (file, base + start, base + end)
            found[name] = Tensor(entry["dtype"], tuple(entry["shape"]), (place,))
    return found


def _to_native(tensors: dict[str, Tensor], family: Family) -> dict[str, Tensor]:
    """A tensor that the native layout keeps as several is cut between rows."""
    native = {}
    for published, tensor in tensors.items():
        parts = native_tensors(published, tensor.shape, family)
        (file, start, _), length = tensor.pieces[0], tensor.num_bytes // len(parts)
        for number, (name, shape) in enumerate(parts):
            place = start + number * length
            native[name] = Tensor(tensor.dtype, shape, ((file, place, place + length),))
    return native


def _to_published(tensors: dict[str, Tensor], family: Family) -> dict[str, Tensor]:
    parts = family.layout.fused[1]
    published: dict[str, Tensor] = {}
    for native in tensors:
        name = published_name(native, family)
        part = next((part for part in parts if part in native), None)
        names = [native.replace(part, each) for each in parts] if part else [native]
        if missing := [each for each in names if each not in tensors]:
            raise ValueError(f"{missing[0]} is missing: {name} cannot be put together")
        pieces = [tensors[each] for each in names]
        shape = (sum(piece.shape[0] for piece in pieces), *pieces[0].shape[1:])
        if name in family.layout.flattened:
            shape = (1, *shape)
        places = tuple(place for piece in pieces for place in piece.pieces)
        published[name] = Tensor(pieces[0].dtype, shape, places)
    return published


def _config(source: Path, config: dict[str, Any], layout: Layout) -> dict[str, Any]:
    family = family_of(config)
    published = is_published(config, family)
    if published and layout == "native":
        return native_json(source, config)
    if not published and layout == "published":
        return family.layout.to_published(config)
    return {key: value for key, value in config.items() if key != "auto_map"}


def native_json(source: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The native config.json of a published checkpoint."""
    family = family_of(config)
    native = family.layout.to_native(config, tensor_shapes(source))
    return native | {"image_token_id": token_id(source, family.chat.image_token)}


def _write_weights(target: Path, tensors: dict[str, Tensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.num_bytes
        offsets = {"data_offsets": [start, end]}
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, **offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors start aligned to eight bytes
    with target.open("wb") as writer:
        writer.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            writer.writelines(tensor.chunks())


def copy_companions(source: Path, target: Path) -> None:
    """Copy tokenizer, templates, limits and licences, without what would point at Python."""
    for pattern in COPIED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
    for name in CLEANED:
        if content := read_json(source / name):
            content.pop("auto_map", None)
            write_json(target / name, content)


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of dtype, shape and bytes of every tensor of a checkpoint."""
    return {name: tensor.digest() for name, tensor in tensors_of(directory).items()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Indented, as checkpoints have it."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
