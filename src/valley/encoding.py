"""Where a conversation with pictures and clips becomes ids, labels and patches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin
from transformers.utils import cached_file

from valley.families import FAMILIES, chat_published, family_of
from valley.families import valley2_5_published as published
from valley.geometry import Plan
from valley.model.files import native_config, read_json
from valley.pixels import Colours, cut_all, cut_tiles, joined, pack_patches
from valley.planning import Planner, budget_from, lay_out, pictures_of
from valley.prompt import IGNORE_INDEX, Tokens, Writer, flatten
from valley.types import Budget, Image, Message, Request, Text, Usage, Video


@dataclass(frozen=True)
class Encoded:
    """A request as the model takes it. `plans`: one per picture or frame, in reading order."""

    input_ids: list[int]
    labels: list[int]
    plans: list[Plan]
    patches: list[NDArray[np.float32]]
    tiles: list[NDArray[np.float32]]

    @property
    def usage(self) -> Usage:
        return Usage(len(self.input_ids), sum(plan.num_tokens for plan in self.plans))


class Encoder(ProcessorMixin):
    """The core of the processor: `encode` a request, `collate` a batch, `decode_reply`.

    Options of `from_pretrained`: `min_pixels`, `max_pixels`, `frame_max_pixels`, `max_tiles` and
    `scales` set the limits of every call; `single_resize` leaves out the first of two resizes;
    `anyres` False cuts no picture into tiles; `use_special_start_end_token` (published form only)
    brackets pictures; `image_mean` and `image_std` are those of the one tower's training, where
    they are not as published.
    """

    def __init__(
        self,
        tokenizer: Any,
        chat_template: str | None = None,
        family: str = "valley2_5",
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        frame_max_pixels: int | None = None,
        single_resize: bool = False,
        anyres: bool | None = None,
        only_navit: bool | None = None,
        only_crop_single_image: bool = True,
        use_special_start_end_token: bool = True,
        max_tiles: int | None = None,
        scales: int | None = None,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
    ) -> None:
        template = chat_template or tokenizer.chat_template
        super().__init__(tokenizer, chat_template=template)
        self.family = family
        self.min_pixels, self.max_pixels = min_pixels, max_pixels
        self.frame_max_pixels = frame_max_pixels
        self.single_resize = single_resize
        self.anyres, self.only_navit = anyres, only_navit
        self.only_crop_single_image = only_crop_single_image
        self.use_special_start_end_token = use_special_start_end_token
        self.max_tiles, self.scales = max_tiles, scales
        self.image_mean, self.image_std = image_mean, image_std
        self.colours = _colours(image_mean, image_std)
        tokenizer.padding_side = "left"
        line = next(item for item in FAMILIES if item.name == family)
        limits = Budget(
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            frame_max_pixels=frame_max_pixels,
            max_tiles=1 if anyres is False and line.cuts_tiles else max_tiles,
            scales=scales,
        )
        line.check_budget(limits)
        self.planner = Planner(line, line.policy({}), limits, single_resize)
        if only_navit is not None and only_navit == self.planner.family.cuts_tiles:
            raise ValueError(
                f"only_navit={only_navit} does not fit {self.planner.family.title}: leave it out"
            )
        self.chat = self.planner.family.chat
        self.image_token = self.chat.image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        added = tokenizer.added_tokens_decoder
        specials = {token.content: number for number, token in added.items() if token.special}
        self.writer = Writer(self.chat, template, self.encode_text, specials)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Any:
        """Load without running any Python of the checkpoint; its config.json names the family."""
        if unknown := sorted(kwargs.keys() - _OPTIONS):
            raise ValueError(f"unknown option {unknown[0]!r}: see valley.encoding.Encoder")
        kwargs["trust_remote_code"] = False

        def shipped(file: str) -> dict[str, Any]:
            path = cached_file(pretrained_model_name_or_path, file, **_hub_options(kwargs))
            return read_json(Path(path)) if path else {}

        if config := shipped("config.json"):
            family = family_of(config)
            kwargs["family"] = family.name
            policy = family.policy(native_config(config, pretrained_model_name_or_path))
            if template := family.chat_template(config):
                kwargs.setdefault("chat_template", template)
        options = shipped("preprocessor_config.json") | shipped("processor_config.json")
        limits = budget_from(options)
        options |= {name: getattr(limits, name) for name in limits.set_fields()}
        for name in SHIPPED_OPTIONS & options.keys():
            kwargs.setdefault(name, options[name])
        loaded = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if config:
            processor = loaded[0] if isinstance(loaded, tuple) else loaded
            processor.planner = replace(processor.planner, policy=policy)
            if processor.colours and processor.sees.native and processor.sees.tiles:
                raise ValueError("image_mean and image_std fit one tower, this model has two")
        return loaded

    @property
    def sees(self) -> Plan:
        """The plan of a small picture: which towers there are, and whether they cut tiles."""
        return self.planner.plan((28, 28), self.planner.budget())

    def encode(self, request: Request, *, generate: bool = True) -> Encoded:
        """Ids with one placeholder a visual token, labels, plans and patches of a request.

        Media that are still paths are opened with default limits. `generate` ends the prompt with
        the header of the reply and its prefix; without it the last message may be the assistant's.
        """
        if request.prefix and request.style != "default":
            raise ValueError("published code lets no reply begin with a prefix: drop it")
        request = self.planner.open(request)
        parts = [part for message in request.messages for part in message.parts]
        pictures = [picture for part in parts for picture in pictures_of(part)]
        if request.style == "default":
            tokens, in_order = self.lay_out(request, generate)
            return self._encoded(tokens.input_ids, tokens.labels, pictures, in_order)
        budget = self.planner.budget_of(request)
        if self.planner.family.entry == "processor":
            return self._encode_published(request, budget, generate)
        in_order = [plan for part in parts for plan in self.planner.plans(part, budget)]
        tokens = self._chat_tokens(request, in_order, generate)
        return self._encoded(tokens.input_ids, tokens.labels, pictures, in_order)

    def lay_out(self, request: Request, generate: bool = True) -> tuple[Tokens, list[Plan]]:
        """As `planning.lay_out`, with this processor's limits and tokenizer."""
        return lay_out(self.planner, self.writer, request, generate)

    def _chat_tokens(self, request: Request, plans: list[Plan], generate: bool) -> Tokens:
        """The ids that the published `chat` would give, with its placeholders expanded.

        Where words hold `<image>`, the pictures are taken in their order and not at their place.
        """
        messages = request.messages
        if any(chat_published.PLACEHOLDER in message.text for message in messages):
            messages = tuple(Message(m.role, (Text(m.text),)) for m in messages)

        def write(part: Image | Video) -> str:
            return self.chat.write(part, [chat_published.PLACEHOLDER] * len(pictures_of(part)))

        strings = [{"role": m.role, "content": flatten(m, self.chat, write)} for m in messages]
        shown = [self.chat.picture(plan.num_tokens) for plan in plans]
        render = partial(self.writer.render, generate=generate, thinking=request.thinking)
        return self.writer.tokens(chat_published.write(strings, render, shown))

    def collate(
        self, batch: Sequence[Encoded], *, labels: bool = False, padding_side: str = "left"
    ) -> BatchFeature:
        """Padded tensors of several requests: `input_ids`, `attention_mask` `[B, T]`, and where
        there are pictures those of `pixel_tensors`."""
        pad = torch.nn.utils.rnn.pad_sequence

        def padded(rows: list[list[int]], value: int) -> Tensor:
            tensors = [torch.tensor(row) for row in rows]
            return pad(tensors, batch_first=True, padding_value=value, padding_side=padding_side)

        rows = [item.input_ids for item in batch]
        data = {
            "input_ids": padded(rows, self.tokenizer.pad_token_id or 0),
            "attention_mask": padded([[1] * len(row) for row in rows], 0),
        }
        if labels:
            data["labels"] = padded([item.labels for item in batch], IGNORE_INDEX)
        patches = [array for item in batch for array in item.patches]
        tiles = [array for item in batch for array in item.tiles]
        plans = [plan for item in batch for plan in item.plans]
        return BatchFeature(data | pixel_tensors(patches, tiles, plans))

    def decode_reply(self, token_ids: Sequence[int]) -> str:
        """The text of a reply: control tokens left out, tag tokens such as `<think>` kept."""
        hidden = self.hidden_ids
        kept = [number for number in token_ids if number not in hidden]
        return self.tokenizer.decode(kept, skip_special_tokens=False)

    @property
    def hidden_ids(self) -> frozenset[int]:
        """Control tokens, which are no part of a reply's text."""
        ids = {self.writer.specials.get(token) for token in self.chat.structural}
        ids |= {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        return frozenset(number for number in ids if number is not None)

    def encode_text(self, text: str) -> list[int]:
        """Ids of words in which special tokens are plain text."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]

    def _encoded(
        self,
        input_ids: list[int],
        labels: list[int],
        pictures: Sequence[PILImage.Image],
        plans: list[Plan],
    ) -> Encoded:
        placeholders = input_ids.count(self.image_token_id)
        expected = sum(plan.num_tokens for plan in plans)
        if placeholders != expected or len(pictures) != len(plans):
            raise ValueError(
                f"{len(pictures)} pictures plan {expected} tokens, the prompt holds {placeholders} "
                "placeholders: the chat template drops or repeats them"
            )
        patches, tiles = self.pack(pictures, plans)
        return Encoded(input_ids, labels, plans, patches, tiles)

    def pack(
        self, pictures: Sequence[PILImage.Image], plans: Sequence[Plan]
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Patches of every picture, where a tower takes some, and its tiles, likewise."""
        if grids := [plan.tile_grids for plan in plans if plan.tile_grids]:
            return [], cut_all(pictures, grids, self.colours)
        patches, tiles = [], []
        for picture, plan in zip(pictures, plans, strict=True):
            if view := plan.native:
                rows = pack_patches(picture, view, self.colours)
                if len(rows) != (cells := view.grid[0] * view.grid[1]):
                    raise ValueError(
                        f"a picture of {plan.original} gave {len(rows)} patches, not {cells}"
                    )
                patches.append(rows)
            if plan.tiles:
                tiles.append(cut_tiles(picture, plan.tiles, self.colours))
        return patches, tiles

    def _encode_published(self, request: Request, budget: Budget, generate: bool) -> Encoded:
        """The ids the published processor would give, with its placeholders expanded."""

        def placeholders(part: Image | Video) -> str:
            return " ".join([published.PLACEHOLDER] * len(pictures_of(part)))

        messages: list[published.StringMessage] = [
            {"role": message.role, "content": flatten(message, self.chat, placeholders)}
            for message in request.messages
        ]
        parts = [part for message in request.messages for part in message.parts]
        pictures = [picture for part in parts for picture in pictures_of(part)] or [black()]
        ids, labels = self.published_ids(messages, len(pictures), generate, request.thinking)
        plans = self.published_plans(pictures, budget)
        counts = iter(plans)
        expanded, spread = [], []
        for number, label in zip(ids, labels, strict=True):
            count = next(counts).num_tokens if number == published.SENTINEL else 1
            expanded += [self.image_token_id if number == published.SENTINEL else number] * count
            spread += [label] * count
        return self._encoded(expanded, spread, pictures, plans)

    def published_plans(self, pictures: Sequence[PILImage.Image], budget: Budget) -> list[Plan]:
        for picture in pictures:
            published.check_ratio(picture.size)
        if self.only_crop_single_image:
            budget = self.planner.shared(budget, len(pictures))
        return [self.planner.plan(picture.size, budget) for picture in pictures]

    def published_ids(
        self,
        messages: list[published.StringMessage],
        num_images: int,
        inference: bool,
        thinking: bool | None,
    ) -> tuple[list[int], list[int]]:
        brackets = self.use_special_start_end_token
        published.rewrite(messages, num_images, inference=inference, brackets=brackets)
        return self.tokenise_published(messages, inference, thinking)

    def tokenise_published(
        self,
        messages: list[published.StringMessage],
        inference: bool = True,
        thinking: bool | None = None,
    ) -> tuple[list[int], list[int]]:
        """Ids and labels of messages as the chat template shall see them."""
        text = self.writer.render(messages, inference, thinking)

        def encode(chunk: str) -> list[int]:
            return self.tokenizer(chunk, add_special_tokens=False)["input_ids"]

        return published.tokenise(text, encode, inference=inference)


def _colours(mean: Sequence[float] | None, std: Sequence[float] | None) -> Colours | None:
    """What a checkpoint says, None where it says nothing."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise ValueError("image_mean and image_std belong together: give both or neither")
    return Colours(tuple(mean), tuple(std))


def grids(plans: Sequence[Plan]) -> Tensor:
    """`[N, 3]`: one frame, rows, columns of patches for each picture that has some."""
    views = [plan.native for plan in plans if plan.native]
    return torch.tensor([[1, view.grid[1], view.grid[0]] for view in views])


def pixel_tensors(
    patches: Sequence[NDArray[np.float32]],
    tiles: Sequence[NDArray[np.float32]],
    plans: Sequence[Plan],
) -> dict[str, Tensor]:
    """What the towers get; empty without pictures.

    Patches of native resolution: `pixel_values` `[P, 1176]` and `image_grid_thw` `[N, 3]`. Tiles of
    a line that has no others: `pixel_values` `[tiles, 3, S, S]` and `num_patches` `[N]`, their
    number for each picture. Tiles beside patches are padded to `[N, T, 3, S, S]` and come with
    their number and the original size of every picture. Each can be cut between pictures.
    """
    data: dict[str, Tensor] = {}
    if any(plan.tile_grids for plan in plans):
        data["pixel_values"] = torch.from_numpy(joined(tiles))
        data["num_patches"] = torch.tensor([len(stack) for stack in tiles])
        return data
    if patches:
        data["pixel_values"] = torch.from_numpy(np.concatenate(patches))
        data["image_grid_thw"] = grids(plans)
    if tiles:
        stacks = [torch.from_numpy(stack) for stack in tiles]
        data["tiles"] = torch.nn.utils.rnn.pad_sequence(stacks, batch_first=True)
        data["num_tiles"] = torch.tensor([len(stack) for stack in tiles])
        data["image_sizes"] = torch.tensor([plan.original for plan in plans])
    return data


def black() -> PILImage.Image:
    return PILImage.new("RGB", (published.BLACK_SIDE, published.BLACK_SIDE))


#: Options that a checkpoint's own JSON may set.
SHIPPED_OPTIONS = frozenset(
    {
        *("min_pixels", "max_pixels", "frame_max_pixels", "max_tiles", "scales"),
        *("single_resize", "image_mean", "image_std"),
    }
)
#: What `from_pretrained` may be given: our own options and those of transformers.
_OPTIONS = frozenset(
    {
        *SHIPPED_OPTIONS,
        "chat_template",
        *("only_navit", "only_crop_single_image", "use_special_start_end_token", "family"),
        "anyres",
        *("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder"),
        *("trust_remote_code", "code_revision", "use_fast", "backend", "dtype", "torch_dtype"),
        *("_from_auto", "_commit_hash", "return_unused_kwargs"),
    }
)


def _hub_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = ("cache_dir", "force_download", "local_files_only", "token", "revision")
    return {name: kwargs[name] for name in names if name in kwargs} | {
        "_raise_exceptions_for_missing_entries": False
    }
