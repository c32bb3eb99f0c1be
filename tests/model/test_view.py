"""A published checkpoint seen as a native one."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig

import valley.auto  # noqa: F401
from valley.model.convert import convert
from valley.model.files import read_json, weight_files
from valley.model.view import native_view
from valley.processing import ValleyProcessor


def test_the_config_is_native_and_the_weights_are_the_same_files(sail, tmp_path: Path) -> None:
    published = sail("internvit_8b")  # in two files with an index
    view = native_view(published, tmp_path / "view")
    convert(published, tmp_path / "native", "native")
    assert read_json(view / "config.json") == read_json(tmp_path / "native" / "config.json")
    assert AutoConfig.from_pretrained(view).to_dict()["model_type"] == "sail_vl"
    assert len(weight_files(view)) == 2
    for seen, real in zip(weight_files(view), weight_files(published), strict=True):
        assert seen.is_symlink()
        assert seen.resolve() == real.resolve()
    wanted = ValleyProcessor.from_pretrained(published)
    found = ValleyProcessor.from_pretrained(view)
    assert (found.chat_template, found.planner) == (wanted.chat_template, wanted.planner)


def test_a_native_checkpoint_is_its_own_view(tiny_valley2_5: Path, tmp_path: Path) -> None:
    convert(tiny_valley2_5, tmp_path / "native", "native")
    assert native_view(tmp_path / "native", tmp_path / "view") == tmp_path / "native"
    assert not (tmp_path / "view").exists()
