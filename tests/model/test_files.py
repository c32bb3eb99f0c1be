"""Checkpoints as files: places, hub names, headers, memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest

from valley.model import files, memory


def test_places_of_checkpoints(tiny_valley2_5: Path, tmp_path: Path) -> None:
    assert files.locate("nano") == files.NANO
    assert files.locate(tiny_valley2_5) == tiny_valley2_5
    for place in (tmp_path, tmp_path / "none", "none", "./a/b", "a/b/c", "~nobody/x"):
        with pytest.raises(ValueError, match=r"config\.json|checkpoint directory"):
            files.locate(place)


def test_a_hub_name_downloads_data_only(monkeypatch: Any, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert files.locate("team/model", "v2") == tmp_path
    assert (asked["name"], asked["revision"]) == ("team/model", "v2")
    assert "*.safetensors" in asked["allow_patterns"]
    assert not any("py" in pattern or "bin" in pattern for pattern in asked["allow_patterns"])
    files.locate("team/model", weights=False)
    assert "*.safetensors" not in asked["allow_patterns"]


def test_offline_a_hub_name_is_one_clear_error(monkeypatch: Any) -> None:
    def refused(name: str, **options: Any) -> str:
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    with pytest.raises(ValueError, match="team/model is neither a directory"):
        files.locate("team/model")


def test_shapes_of_a_hub_name_come_from_headers(monkeypatch: Any) -> None:
    class Tensor:
        shape = (3, 4)

    class File:
        tensors: ClassVar = {"a": Tensor()}

    class Metadata:
        files_metadata: ClassVar = {"model.safetensors": File()}

    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", lambda name: Metadata())
    assert files.tensor_shapes("team/model") == {"a": (3, 4)}
    assert files.tensor_shapes("") == {}


@pytest.mark.parametrize(
    "content", [b"", b"1234567", (2**60).to_bytes(8, "little"), b"\x08" + bytes(7) + b"not json"]
)
def test_what_is_no_safetensors_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file"):
        files.tensor_headers(tmp_path)


def test_an_index_cannot_point_outside(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "../../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside"):
        files.weight_files(tmp_path)


@pytest.mark.parametrize("text", ["[1]", "{", "\xff"])
def test_json_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="JSON"):
        files.read_json(path)


def test_memory_is_known_before_loading(tiny_valley2_5: Path, monkeypatch: Any) -> None:
    found = memory.measure(tiny_valley2_5)
    assert found.parameters == 7893472
    assert found.stored_bytes == found.needed("float32") == 4 * 7893472
    assert found.needed("int4") == 7893472 // 2
    monkeypatch.setattr(memory, "available_memory", lambda: 25 * 2**20)
    with pytest.raises(ValueError, match=r"bfloat16 0\.01 GiB"):
        memory.check_memory(tiny_valley2_5, "cpu", None)
    memory.check_memory(tiny_valley2_5, "cpu", "bfloat16")
    memory.check_memory(tiny_valley2_5, "cuda", None)


def test_this_machine_says_what_is_free() -> None:
    free = memory.available_memory()
    assert free is None or free > 2**20
