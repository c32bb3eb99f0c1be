"""Golden cases of the SAIL-VL lines, asked through `model.chat`, `batch_chat` and the processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoProcessor, AutoTokenizer

import valley.auto  # noqa: F401  registers the native classes
from golden.compare import Samples
from golden.folders import picture_path
from valley.encoding import Encoded
from valley.model.names import native_tensors
from valley.sail_vl_chat import load_image
from valley.types import Budget, Message, Request
from valley.types import Image as ImagePart

GREEDY = {"do_sample": False, "max_new_tokens": 12}
KINDS = {
    **dict.fromkeys(
        (
            *("tiles", "n_tiles", "n_ids", "n_context", "input_ids", "greedy_tokens"),
            *("response", "responses", "padding_side", "pad_counts"),
            *("image_flags", "labels", "n_supervised"),
        ),
        "exact",
    ),
    "pixels": "pixels",
    "features": "features",
    "logits_last": "logits",
    "token_nll": "logits",
    "greedy_min_margin": "margin",
    "loss": "loss",
    "grad_norms": "sum",
}


class SailCases:
    """Cases by their `kind`, of one loaded checkpoint."""

    def __init__(self, folder: Path, golden: Mapping[str, Any], checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.processor = AutoProcessor.from_pretrained(checkpoint)

    @staticmethod
    def takes(case: Mapping[str, Any]) -> bool:
        return case.get("kind") in FORMS

    def values(self, case: Mapping[str, Any]) -> Values:
        return FORMS[case["kind"]](self, case)


class Values:
    """What the package computes for a case, each value when it is first asked for."""

    KINDS: ClassVar[Mapping[str, str]] = KINDS

    def __init__(self, checker: SailCases, case: Mapping[str, Any]) -> None:
        self._checker, self._case = checker, case
        self._model, self._tokenizer = checker.model, checker.tokenizer
        self._context: int = self._tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")

    @property
    def _images(self) -> list[str]:
        return self._case["images"]

    @cached_property
    def _cut(self) -> list[Tensor]:
        """The tiles of each picture."""
        options = {name: self._case[name] for name in ("max_num", "use_thumbnail")}
        options["msac"] = self._case.get("msac", False)
        folder = self._checker.folder
        return [load_image(picture_path(folder, name), **options) for name in self._images]

    @cached_property
    def tiles(self) -> list[dict[str, Any]]:
        return [self._tiles_of(*pair) for pair in zip(self._images, self._cut, strict=True)]

    def _tiles_of(self, name: str, cut: Tensor) -> dict[str, Any]:
        with Image.open(picture_path(self._checker.folder, name)) as opened:
            size = opened.size
        two = self._case.get("msac", False)
        policy = self._checker.processor.planner.policy
        grids = policy.grids(size, self._case["max_num"], two)
        if two and len(grids) == 2:  # the grid of one tile is the first one and stands last
            grids = grids[::-1]
        second = {"second_grid": list(grids[1])} if two else {}
        found = {"image": name, "size": list(size), "grid": list(grids[0])}
        return {**found, **second, "tiles": len(cut)}

    def _shortened(self, ids: list[int]) -> list[Any]:
        """Ids with a pair (id, how many) for picture tokens in a row."""
        shown: list[Any] = []
        for number, group in groupby(ids):
            count = len(list(group))
            shown += [[number, count]] if number == self._context else [number] * count
        return shown


class Asked(Values):
    """What `generate` was given and returned during a call of the published form."""

    def _recorded(self, call: Callable[[], Any]) -> tuple[dict[str, Any], Any, Any]:
        """Arguments and output of `generate`, and what the call returned."""
        inner, seen = self._model.generate, []

        def generate(**arguments: Any) -> Tensor:
            output = inner(**arguments, return_dict_in_generate=True, output_logits=True)
            seen.append((arguments, output))
            return output.sequences

        self._model.generate = generate
        try:
            returned = call()
        finally:
            del self._model.generate
        return *seen[0], returned

    @cached_property
    def _pixels(self) -> Tensor | None:
        return torch.cat(self._cut) if self._cut else None


class ChatValues(Asked):
    @cached_property
    def _call(self) -> tuple[dict[str, Any], Any, Any]:
        case = self._case
        history = case["history"] and [tuple(pair) for pair in case["history"]]
        return self._recorded(
            lambda: self._model.chat(
                self._tokenizer, self._pixels, case["question"], GREEDY, history=history,
                num_patches_list=case["num_patches_list"],
            )
        )  # fmt: skip

    @cached_property
    def _ids(self) -> list[int]:
        return self._call[0]["input_ids"][0].tolist()

    @property
    def n_tiles(self) -> int:
        return sum(map(len, self._cut))

    @property
    def n_ids(self) -> int:
        return len(self._ids)

    @property
    def n_context(self) -> int:
        return self._ids.count(self._context)

    @cached_property
    def input_ids(self) -> list[Any]:
        return self._shortened(self._ids)

    @cached_property
    def pixels(self) -> Samples:
        return Samples(self._call[0]["pixel_values"])

    @cached_property
    def features(self) -> Samples:
        with torch.no_grad():
            tiles = self._model.model.get_image_features(self._pixels).pooler_output
        return Samples(torch.stack(tiles))

    @cached_property
    def logits_last(self) -> Samples:
        return Samples(self._call[1].logits[0][0].double())

    @property
    def greedy_tokens(self) -> list[int]:
        return self._call[1].sequences[0, self.n_ids :].tolist()

    @cached_property
    def greedy_min_margin(self) -> float:
        tops = [step[0].double().topk(2).values for step in self._call[1].logits]
        return min(float(first - second) for first, second in tops)

    @property
    def response(self) -> str:
        return self._call[2]


class BatchValues(Asked):
    @cached_property
    def _call(self) -> tuple[dict[str, Any], Any, Any]:
        case = self._case
        return self._recorded(
            lambda: self._model.batch_chat(
                self._tokenizer, self._pixels, case["questions"], GREEDY,
                num_patches_list=case["num_patches_list"],
            )
        )  # fmt: skip

    @property
    def _mask(self) -> Tensor:
        return self._call[0]["attention_mask"]

    @property
    def padding_side(self) -> str:
        return "left" if bool(self._mask[:, -1].all()) else "right"

    @cached_property
    def pad_counts(self) -> list[int]:
        return (self._mask == 0).sum(1).tolist()

    @cached_property
    def input_ids(self) -> list[list[Any]]:
        return [self._shortened(row) for row in self._call[0]["input_ids"].tolist()]

    @cached_property
    def greedy_tokens(self) -> list[list[int]]:
        return self._call[1].sequences[:, self._mask.shape[1] :].tolist()

    @property
    def responses(self) -> list[str]:
        return self._call[2]


class LossValues(Values):
    """Training: rows right-padded, an empty tile for a row without pictures."""

    @property
    def _images(self) -> list[str]:
        return [name for row in self._case["rows"] for name in row["images"]]

    @cached_property
    def _rows(self) -> list[Encoded]:
        return [self._encode(row) for row in self._case["rows"]]

    def _encode(self, row: Mapping[str, Any]) -> Encoded:
        folder = self._checker.folder
        pictures = [Image.open(picture_path(folder, n)).convert("RGB") for n in row["images"]]
        turns = [Message.of(role, text) for pair in row["turns"] for role, text in zip(
            ("user", "assistant"), pair, strict=True)]  # fmt: skip
        shown = Message("user", (*map(ImagePart, pictures), *turns[0].parts))
        request = Request(
            (shown, *turns[1:]), Budget(max_tiles=self._case["max_num"]), style="published"
        )
        return self._checker.processor.encode(request, generate=False)

    @property
    def image_flags(self) -> list[int]:
        return [int(bool(row.tiles)) for row in self._rows for _ in range(self._count(row))]

    @staticmethod
    def _count(row: Encoded) -> int:
        return sum(map(len, row.tiles)) or 1

    @cached_property
    def _trained(self) -> tuple[float, list[list[float]], dict[str, float]]:
        """Loss, losses of the supervised tokens, and norms of gradients by published names."""
        batch = self._checker.processor.collate(self._rows, labels=True, padding_side="right")
        side = self._checker.processor.planner.policy.side
        empty = torch.zeros(1, 3, side, side)
        tiles = [
            torch.from_numpy(stack) if stack is not None else empty
            for row in self._rows
            for stack in (row.tiles or [None])
        ]
        pictures = {"pixel_values": torch.cat(tiles), "image_flags": torch.tensor(self.image_flags)}
        del batch["num_patches"]
        self._model.zero_grad()
        output = self._model(**(batch | pictures))
        output.loss.backward()
        losses = []
        for logits, labels in zip(output.logits.detach(), batch["labels"], strict=True):
            kept = labels[1:] >= 0
            values = cross_entropy(logits[:-1][kept], labels[1:][kept], reduction="none")
            losses.append(values.tolist())
        return output.loss.item(), losses, self._norms()

    def _norms(self) -> dict[str, float]:
        family = self._model.config.family
        parameters = dict(self._model.named_parameters())
        norms = {}
        for name in self._case["expected"].get("grad_norms", ()):
            parts = [native for native, _ in native_tensors(name, (3,), family)]
            squares = [parameters[part].grad.double().square().sum() for part in parts]
            norms[name] = float(sum(squares) ** 0.5)
        return norms

    @property
    def n_ids(self) -> list[int]:
        return [len(row.input_ids) for row in self._rows]

    @cached_property
    def input_ids(self) -> list[list[Any]]:
        return [self._shortened(row.input_ids) for row in self._rows]

    @property
    def labels(self) -> list[list[list[int]]]:
        return [
            [[place, label] for place, label in enumerate(row.labels) if label >= 0]
            for row in self._rows
        ]

    @property
    def n_supervised(self) -> int:
        return sum(map(len, self.labels))

    @property
    def loss(self) -> float:
        return self._trained[0]

    @property
    def token_nll(self) -> list[list[float]]:
        return self._trained[1]

    @property
    def grad_norms(self) -> dict[str, float]:
        """Of the tensors that are asked for."""
        return self._trained[2]


FORMS: dict[str, type[Values]] = {
    "chat": ChatValues,
    "batch_chat": BatchValues,
    "loss": LossValues,
}
