"""Golden cases of the Valley lines, asked through the Auto classes as a user would."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoProcessor

import valley.auto  # noqa: F401  registers the native classes
from golden.compare import KINDS, Samples
from golden.folders import picture_path
from valley2.valley2_chat import Valley2Chat

GREEDY = {"do_sample": False, "max_new_tokens": 12}
TURN_END = "<|im_end|>"


class PublishedCall:
    """Cases with `path: "hf"`: the published processor call, then forward and generate."""

    def __init__(self, folder: Path, golden: Mapping[str, Any], checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.generation = golden.get("generation") or GREEDY
        self.model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()

    @staticmethod
    def takes(case: Mapping[str, Any]) -> bool:
        return case.get("path") == "hf" and case.get("mode") in (None, "no_image")

    def values(self, case: Mapping[str, Any]) -> Values:
        return Values(self, case)


class ChatCall:
    """Cases with `path: "chat"`: the published `Valley2Chat`."""

    def __init__(self, folder: Path, golden: Mapping[str, Any], checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.generation = golden.get("generation") or GREEDY
        self.chat = Valley2Chat(checkpoint, torch_dtype=torch.float32)
        self.chat.max_new_tokens = self.generation["max_new_tokens"]
        self.model = self.chat.model

    @staticmethod
    def takes(case: Mapping[str, Any]) -> bool:
        return case.get("path") == "chat"

    def values(self, case: Mapping[str, Any]) -> ChatValues:
        return ChatValues(self, case)


class Values:
    """What the package computes for a case, each value when it is first asked for.

    The attributes without underscore are the keys of `expected`.
    """

    KINDS: ClassVar[Mapping[str, str]] = KINDS

    def __init__(self, checker: PublishedCall | ChatCall, case: Mapping[str, Any]) -> None:
        self._case, self._model = case, checker.model
        options = case.get("processor") or {}
        self._processor = AutoProcessor.from_pretrained(
            checker.checkpoint, **(options.get("init") or {})
        )
        self._options = options.get("call") or {}
        self._generation = {**checker.generation, **(case.get("generation") or {})}
        self._pictures = None
        if case.get("images") is not None:
            paths = [picture_path(checker.folder, name) for name in case["images"]]
            self._pictures = [Image.open(path) for path in paths]

    @cached_property
    def _inputs(self) -> Mapping[str, Any]:
        if self._case.get("mode") == "no_image":
            if self._pictures:
                raise ValueError("a no_image case must not name pictures")
            options = dict(self._options)
            return self._processor.apply_chat_template(
                self._case["messages"],
                tokenize=True,
                add_generation_prompt=options.pop("inference", True),
                return_dict=True,
                return_tensors="pt",
                **options,
            )
        record = {"conversations": self._case["messages"], "images": self._pictures}
        return self._processor(record, **self._options)

    @property
    def _call(self) -> dict[str, Any]:
        """The arguments of the published snippet, those that this case has."""
        names = ("input_ids", "attention_mask", "images", "image_sizes")
        names += ("pixel_values", "image_grid_thw")
        return {name: self._inputs[name] for name in names if name in self._inputs}

    @cached_property
    def _forward(self) -> tuple[Any, Tensor]:
        """The model's output and the merged embeddings its decoder was given."""
        seen: list[Tensor] = []

        def keep(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            seen.append(kwargs["inputs_embeds"])

        labels = {"labels": self._inputs["labels"]} if "loss" in self._case["expected"] else {}
        decoder = self._model.model.language_model
        hook = decoder.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with torch.no_grad():
                output = self._model(**self._call, **labels)
        finally:
            hook.remove()
        return output, seen[0]

    @cached_property
    def _greedy(self) -> Any:
        with torch.no_grad():
            return self._model.generate(
                **self._call, **self._generation, return_dict_in_generate=True, output_logits=True
            )

    @property
    def input_ids(self) -> list[int]:
        return self._inputs["input_ids"][0].tolist()

    @property
    def labels(self) -> list[int]:
        return self._inputs["labels"][0].tolist()

    @property
    def n_labels(self) -> int:
        return sum(label != -100 for label in self.labels)

    @property
    def image_sizes(self) -> list[list[int]]:
        return [list(size) for size in self._inputs["image_sizes"][0]]

    @property
    def image_grid_thw(self) -> list[list[int]]:
        return self._inputs["image_grid_thw"].tolist()

    @cached_property
    def pixel_values(self) -> Samples:
        counts = self._inputs["image_grid_thw"].prod(-1).tolist()
        return Samples(self._inputs["pixel_values"], counts)

    @cached_property
    def visual_tokens(self) -> list[int]:
        model = self._model.model
        pictures = model.published_pictures(self._inputs["images"], self._inputs["image_sizes"])
        with torch.no_grad():
            features = model.get_image_features(
                self._inputs["pixel_values"],
                image_grid_thw=self._inputs["image_grid_thw"],
                **pictures,
            )
        return [len(item) for item in features.pooler_output]

    @property
    def eagle_tokens(self) -> list[int]:
        """Tokens of the tower at native resolution."""
        return (self._inputs["image_grid_thw"].prod(-1) // 4).tolist()

    @property
    def siglip_tokens(self) -> list[int]:
        pairs = zip(self.visual_tokens, self.eagle_tokens, strict=True)
        return [both - eagle for both, eagle in pairs]

    @property
    def tile_counts(self) -> list[int]:
        return [len(stack) for stack in self._inputs["images"][0]]

    @cached_property
    def tiles(self) -> Samples:
        return Samples(torch.cat(list(self._inputs["images"][0])), self.tile_counts)

    @property
    def seq_len(self) -> int:
        return self._forward[0].logits.shape[1]

    @cached_property
    def inputs_embeds_sum(self) -> float:
        return float(self._forward[1].double().sum())

    @cached_property
    def inputs_embeds_abs_sum(self) -> float:
        return float(self._forward[1].double().abs().sum())

    @cached_property
    def _last(self) -> Tensor:
        return self._forward[0].logits[0, -1].double()

    @cached_property
    def _top5(self) -> tuple[list[float], list[int]]:
        values, ids = self._last.topk(5)
        return values.tolist(), ids.tolist()

    @property
    def last_logits_first8(self) -> list[float]:
        return self._last[:8].tolist()

    @cached_property
    def last_logits_sum(self) -> float:
        return float(self._last.sum())

    @cached_property
    def last_logits_abs_mean(self) -> float:
        return float(self._last.abs().mean())

    @property
    def last_logits_top5(self) -> list[int]:
        return self._top5[1]

    @property
    def last_logits_top5_values(self) -> list[float]:
        return self._top5[0]

    @property
    def top1_top2_margin(self) -> float:
        return self._top5[0][0] - self._top5[0][1]

    @property
    def loss(self) -> list[float]:
        """One value a sample; the published call takes one sample."""
        return [float(self._forward[0].loss)]

    @property
    def greedy_tokens(self) -> list[int]:
        return self._greedy.sequences[0, self._inputs["input_ids"].shape[1] :].tolist()

    @cached_property
    def greedy_min_margin(self) -> float:
        tops = [step[0].double().topk(2).values for step in self._greedy.logits]
        return min(float(first - second) for first, second in tops)

    @property
    def text(self) -> str:
        decoded = self._processor.tokenizer.decode(self.greedy_tokens, skip_special_tokens=False)
        return decoded.replace(TURN_END, "")


class ChatValues(Values):
    """The same values where the request goes through `Valley2Chat`."""

    def __init__(self, checker: ChatCall, case: Mapping[str, Any]) -> None:
        super().__init__(checker, case)
        self._chat = checker.chat
        self._request = {"chat_history": case["messages"], "images": self._pictures}

    @cached_property
    def _inputs(self) -> Mapping[str, Any]:
        return self._chat.inputs(self._request)

    @cached_property
    def text(self) -> str:
        return self._chat(self._request)
