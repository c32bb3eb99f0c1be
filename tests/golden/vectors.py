"""Vector files: numbers and prompts that need no weights, one checker per section.

A checker turns a section into results. Prompts are asked through the published processor call.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers import AutoProcessor

import valley.auto  # noqa: F401  registers the native classes
from golden import rewards
from golden.compare import Finding, Samples, findings
from golden.report import Result, guarded
from valley.families import Family
from valley.families import valley2_5_published as published
from valley.families.valley2_5 import PIXEL_PRESETS, VALLEY2_5
from valley.geometry import NativeResolution, Plan
from valley.pixels import pack_patches
from valley.prompt import tokenise
from valley.types import Budget

#: Ids that stand for tokens whose real ids were not known when the vectors were written.
STAND_INS = {900001: "<im_start>", 900002: "<im_end>"}
IDS = "ids_with_im_start=900001_im_end=900002"

#: Parts of sections that are known and have no checker yet.
NOT_YET: dict[str, frozenset[str]] = {"rewards": frozenset({"scaling"})}


class Valley25Vectors:
    """Sections of the Valley2.5 vectors. `checkpoint`: any directory with the line's tokenizer."""

    def __init__(self, checkpoint: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        self.family: Family = VALLEY2_5
        policy = self.family.policy({})
        assert isinstance(policy, NativeResolution)
        self.policy = policy

    @property
    def sections(self) -> dict[str, Callable[[str, Any], Iterator[Result]]]:
        return {
            "images": self.images,
            "prompts": self.prompts,
            "label_masking": self.label_masking,
            "rewards": rewards.check,
        }

    # -- images -----------------------------------------------------------------------------------

    def images(self, group: str, section: Mapping[str, Any]) -> Iterator[Result]:
        for name, value in section.items():
            if name == "image_token_table":
                for row in value:
                    yield from self._table_row(group, row)
            elif name == "double_resize_example":
                yield guarded(group, name, partial(self._double_resize, value))
            elif name == "placeholder_image":
                yield guarded(group, name, partial(self._placeholder, value))
            else:
                yield Result(group, name, error=f"unknown section {name}")

    def _table_row(self, group: str, row: Mapping[str, Any]) -> Iterator[Result]:
        size = (row["w"], row["h"])
        for key, wanted in row.items():
            if key in ("w", "h"):
                continue
            case = f"{size[0]}x{size[1]} {key}"
            if key == "after_fetch":
                first = list(self._plan(size, "readme_single").views[0].resizes[0])
                yield Result(group, case, findings({}, {key: wanted}, {key: first}))
            elif key in PIXEL_PRESETS:
                plan = self._plan(size, key)
                yield Result(group, case, findings({}, wanted, self._counts(plan)))
            else:
                yield Result(group, case, error=f"unknown preset {key}")

    def _plan(self, size: tuple[int, int], preset: str) -> Plan:
        return self.policy.plan(size, PIXEL_PRESETS[preset])

    def _counts(self, plan: Plan) -> dict[str, Any]:
        (view,) = plan.views
        columns, rows = view.grid
        width = 3 * 2 * self.policy.patch_size**2
        return {
            "grid_thw": [1, rows, columns],
            "hw": list(view.size[::-1]),
            "tokens": plan.num_tokens,
            "pixel_values": [rows * columns, width],
        }

    def _double_resize(self, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        """The input is described in words: numpy default_rng(SEED).integers(0,256,(H,W,3))."""
        seed, height, width = map(
            int, re.findall(r"rng\((\d+)\).*\((\d+),\s*(\d+),\s*3\)", vector["input"])[0]
        )
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        limits = {key: vector[key] for key in ("min_pixels", "max_pixels")}
        output = self._call([{"role": "user", "content": "?"}], [picture], **limits)
        values = output["pixel_values"].numpy()
        (view,) = self.policy.plan((width, height), Budget(**limits)).views
        direct = replace(view, resizes=(view.size,))
        once = pack_patches(picture, direct)
        actual = {
            **{key: vector[key] for key in ("input", *limits)},  # what was asked, not computed
            "after_fetch_wh": list(view.resizes[0]),
            "grid": output["image_grid_thw"].tolist(),
            "pv_shape": list(values.shape),
            "pv_row0_first8": values[0, :8].tolist(),
            "pv_mean": Samples(values).mean,
            "direct_single_resize_max_abs_diff": float(np.abs(values - once).max()),
        }
        kinds = dict.fromkeys(
            ("pv_row0_first8", "pv_mean", "direct_single_resize_max_abs_diff"), "pixels"
        )
        return findings(kinds, vector, actual)

    def _placeholder(self, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        """The picture that stands in for none: the one listed gives the same sizes and pixels."""
        messages = [{"role": "user", "content": "Hello"}]
        listed = Image.open(io.BytesIO(base64.b64decode(vector["png_b64"])))
        with_listed, without = self._call(messages, [listed]), self._call(messages, None)
        same = bool((with_listed["pixel_values"] == without["pixel_values"]).all())
        colours = np.unique(np.asarray(listed.convert("RGB")).reshape(-1, 3), axis=0)
        actual = {
            "size": list(without["image_sizes"][0][0]),
            "pixels_unique": colours.tolist(),
            "png_b64": vector["png_b64"] if same else "a picture with other pixels",
        }
        return findings({}, vector, actual)

    def _call(self, messages: Any, pictures: Any, **options: Any) -> Mapping[str, Any]:
        return self.processor({"conversations": messages, "images": pictures}, **options)

    # -- prompts ----------------------------------------------------------------------------------

    def prompts(self, group: str, section: Mapping[str, Any]) -> Iterator[Result]:
        facts = {name: value for name, value in section.items() if name.startswith("_")}
        for name, value in section.items():
            if name not in facts:
                yield guarded(group, name, partial(self._prompt, name, value))
        computed = self._facts(section)
        for name, value in facts.items():
            yield Result(group, name, findings({}, {name: value}, computed))

    def _prompt(self, name: str, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        """Ask for the prompt the way its user would and compare text, ids and lengths."""
        messages, pictures, options = asked_for(vector["prompt"])
        if name.startswith("text_only"):
            pictures = None
        ids = self._call(messages, pictures, **options)["input_ids"][0].tolist()
        tokenizer = self.processor.tokenizer
        actual = {
            "prompt": published.PLACEHOLDER.join(map(tokenizer.decode, _split(ids))),
            IDS: ids,
            "len_special": len(ids),
            "len_if_not_special": len(self._without_brackets(vector["prompt"])),
        }
        wanted = {key: self._real_ids(v) if key == IDS else v for key, v in vector.items()}
        return findings({}, wanted, actual)

    def _facts(self, section: Mapping[str, Any]) -> dict[str, Any]:
        tokenizer, system = self.processor.tokenizer, self.family.system_prompts["gthinker"]
        return {
            "_tag_tokenization": {
                tag: self._plain(tag) for tag in section.get("_tag_tokenization", {})
            },
            "_think_ids": {
                tag: tokenizer.convert_tokens_to_ids(tag) for tag in section.get("_think_ids", {})
            },
            "_sys_sha256": hashlib.sha256(system.encode()).hexdigest(),
            "_sys_len": len(system),
            "_sys_tokens": len(self._plain(system)),
        }

    def _plain(self, text: str) -> list[int]:
        tokenizer = self.processor.tokenizer
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def _without_brackets(self, prompt: str) -> list[int]:
        """Ids where the tokens around a picture are no tokens of the vocabulary."""
        added = self.processor.tokenizer.added_tokens_decoder
        special = {t.content: i for i, t in added.items() if t.special}
        kept = {token: i for token, i in special.items() if token not in STAND_INS.values()}
        ids: list[int] = []
        for index, chunk in enumerate(prompt.split(published.PLACEHOLDER)):
            ids += [published.SENTINEL] if index else []
            ids += tokenise(chunk, self.family.chat, self._plain, kept).input_ids
        return ids

    def _real_ids(self, ids: list[int]) -> list[int]:
        tokenizer = self.processor.tokenizer
        real = {i: tokenizer.convert_tokens_to_ids(token) for i, token in STAND_INS.items()}
        return [real.get(i, i) for i in ids]

    # -- labels -----------------------------------------------------------------------------------

    def label_masking(self, group: str, section: Mapping[str, Any]) -> Iterator[Result]:
        """Published masks of rendered text, leaks included."""

        def encode(chunk: str) -> list[int]:
            return self.processor.tokenizer(chunk, add_special_tokens=False)["input_ids"]

        def check() -> tuple[Finding, ...]:
            ids, labels = published.tokenise(section["text"], encode, inference=False)
            actual = {"text": section["text"], "input_ids": ids, "labels": labels}
            lists = {k: self._real_ids(v) for k, v in section.items() if isinstance(v, list)}
            return findings({}, {**section, **lists}, actual)

        yield guarded(group, "label_masking", check)


def _split(ids: list[int]) -> Iterator[list[int]]:
    """Pieces of ids between pictures."""
    piece: list[int] = []
    for number in ids:
        if number == published.SENTINEL:
            yield piece
            piece = []
        else:
            piece.append(number)
    yield piece


def asked_for(prompt: str) -> tuple[list[dict[str, str]], list[Image.Image], dict[str, Any]]:
    """The messages, pictures and options for which a user gets this rendered prompt."""
    turns = re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n", prompt, re.DOTALL)
    messages = [
        {"role": role, "content": re.sub("<im_start><image><im_end>", "<image>", content)}
        for role, content in turns
    ]
    count = sum(message["content"].count("<image>") for message in messages)
    if messages[0] == {"role": "system", "content": published.DEFAULT_SYSTEM}:
        messages = messages[1:]
    first = next(message for message in messages if message["role"] == "user")
    leading = " ".join(["<image>"] * count) + "\n"
    first["content"] = first["content"].removeprefix(leading)
    options = {"enable_thinking": False} if prompt.endswith("</think>\n\n") else {}
    return messages, [Image.new("RGB", (56, 56), "green")] * count, options
