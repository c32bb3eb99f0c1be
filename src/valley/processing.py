"""`ValleyProcessor`: the call forms of transformers and of the published code."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from transformers import BatchFeature
from transformers.processing_utils import MultiModalData

from valley.encoding import Encoder, black, grids, pixel_tensors
from valley.families import valley2_5_published as published
from valley.geometry import Plan
from valley.media.images import open_image
from valley.pixels import in_parallel
from valley.types import Budget, Image, Message, Request, Video


class ValleyProcessor(Encoder):
    """The processor of every line; the name is the one that published checkpoints ask for.

    The call takes either the transformers form (`processor(text=…, images=…)`) or the published
    one (`processor({"conversations": …, "images": …})`). Options of `from_pretrained`: see
    `Encoder`.
    """

    def __call__(
        self,
        images: Any = None,
        text: str | list[str] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> BatchFeature:
        """`processor(text=…, images=…)`, where each `image_token` in the text stands for a picture
        and gets one placeholder a visual token; or the published `processor({…}, …)`."""
        if isinstance(images, Mapping) and "conversations" in images:
            arguments = [text, *args] if text is not None else args
            return self._call_published(images, *arguments, **kwargs)
        if args:
            raise ValueError("pass text=… and images=… by name")
        return self._call_transformers(images, text, **kwargs)

    def _call_published(
        self,
        record: Mapping[str, Any],
        inference: bool = True,
        enable_thinking: bool | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> BatchFeature:
        """The published call: -200 for each picture, sizes as `[[(w, h), …]]`, a batch of one."""
        if self.planner.family.entry != "processor":
            raise ValueError(
                f"{self.planner.family.title} is published without this call: use model.chat, "
                "or processor(text=…, images=…)"
            )
        messages = copy.deepcopy(list(record["conversations"]))
        sources = record.get("images") or []
        sources = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
        pictures = [as_published(source) for source in sources if source is not None] or [black()]
        ids, labels = self.published_ids(messages, len(pictures), inference, enable_thinking)
        if ids.count(published.SENTINEL) != len(pictures):
            raise ValueError(
                f"the messages hold {ids.count(published.SENTINEL)} <image>, "
                f"{len(pictures)} pictures were given"
            )
        budget = self.planner.budget(
            Budget(min_pixels=min_pixels, max_pixels=max_pixels), "published"
        )
        return self.published_inputs(ids, labels, pictures, budget)

    def published_inputs(
        self,
        ids: list[int],
        labels: list[int],
        pictures: Sequence[PILImage.Image],
        budget: Budget,
    ) -> BatchFeature:
        """What the published processor returns, for ids with one -200 for each picture."""
        plans = self.published_plans(pictures, budget)
        patches, tiles = self.pack(pictures, plans)
        stacks = [torch.from_numpy(stack) for stack in tiles]
        cut = bool(self.sees.tiles and self.sees.tiles.shape)
        data = {
            "input_ids": torch.tensor([ids]),
            "labels": torch.tensor([labels]),
            "images": [(stacks if cut else torch.cat(stacks)) if stacks else None],
            "image_sizes": [[plan.original for plan in plans]],
        }
        if patches:
            data["pixel_values"] = torch.from_numpy(np.concatenate(patches))
            data["image_grid_thw"] = grids(plans)
        return BatchFeature(data)

    def _call_transformers(
        self,
        images: Any,
        text: str | list[str] | None,
        videos: Any = None,
        return_tensors: str | None = None,
        padding: bool | str = False,
        padding_side: str | None = None,
        add_special_tokens: bool = False,
        return_text_replacement_offsets: bool = False,
        **limits: Any,
    ) -> BatchFeature:
        if videos is not None:
            raise ValueError(
                "pass a clip's frames as images, or use apply_chat_template(tokenize=True)"
            )
        pictures = in_parallel(open_image, _flat(images))
        plans = self._plans([picture.size for picture in pictures], limits)
        data: dict[str, Any] = {}
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if (asked := sum(t.count(self.image_token) for t in texts)) != len(pictures):
                raise ValueError(
                    f"the text has {asked} {self.image_token}, {len(pictures)} images given"
                )
            replacements = [self.chat.picture(plan.num_tokens) for plan in plans]
            texts, offsets = self.get_text_with_replacements(texts, replacements)
            ids = [self.writer.tokens(text).input_ids for text in texts]
            options = {"padding_side": padding_side} if padding_side else {}
            data |= self.tokenizer.pad(
                {"input_ids": ids}, padding=padding or (return_tensors is not None), **options
            )
            if return_text_replacement_offsets:
                data["text_replacement_offsets"] = offsets
        if pictures:
            pixels = pixel_tensors(*self.pack(pictures, plans), plans)
            data |= {name: tensor.numpy() for name, tensor in pixels.items()}
        return BatchFeature(
            data, tensor_type=return_tensors, skip_tensor_conversion=["text_replacement_offsets"]
        )

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        tokenize: bool = False,
        add_generation_prompt: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        enable_thinking: bool | None = None,
        **budget: Any,
    ) -> Any:
        """Render OpenAI-style messages, content parts included.

        As text, each picture is one `image_token`, for `processor(text=…, images=…)`; with
        `tokenize` the media are opened and the result holds ids (and, with `return_dict`, pixels).
        """
        if chat_template not in (None, self.chat_template):
            raise ValueError(
                "another chat template than the checkpoint's needs a processor of its own"
            )
        batched = bool(conversation) and isinstance(conversation[0], (list, tuple))
        records = conversation if batched else [conversation]
        dialogues = [tuple(Message.from_dict(message) for message in record) for record in records]
        if not tokenize:
            texts = [
                self.writer.text(d, self._one_token, add_generation_prompt, enable_thinking)
                for d in dialogues
            ]
            return texts if batched else texts[0]
        batch = [
            self.encode(
                Request(dialogue, budget=Budget(**budget), thinking=enable_thinking),
                generate=add_generation_prompt,
            )
            for dialogue in dialogues
        ]
        encoded = self.collate(batch)
        if return_tensors is None:
            encoded["input_ids"] = [item.input_ids for item in batch]
            encoded["attention_mask"] = [[1] * len(item.input_ids) for item in batch]
        return encoded if return_dict else encoded["input_ids"]

    def _one_token(self, part: Image | Video) -> str:
        if isinstance(part, Video):
            raise ValueError("a clip has no placeholder in text: use tokenize=True")
        return self.image_token

    def _plans(self, sizes: Sequence[tuple[int, int]], limits: Mapping[str, Any]) -> list[Plan]:
        budget = self.budget(limits, len(sizes))
        return [self.planner.plan(size, budget) for size in sizes]

    def budget(self, limits: Mapping[str, Any], number: int = 1) -> Budget:
        """The limits of each of `number` pictures, where a call sets those in `limits`."""
        try:
            asked = Budget(**limits)
        except TypeError:
            raise ValueError(
                f"unknown option among {', '.join(limits)}: see ValleyProcessor"
            ) from None
        return self.planner.shared(self.planner.budget(asked), number)

    def _get_num_multimodal_tokens(
        self, image_sizes: Sequence[tuple[int, int]] | None = None, **limits: Any
    ) -> MultiModalData:
        """Token and patch counts of pictures of `(height, width)`, for serving engines."""
        plans = self._plans([(width, height) for height, width in image_sizes or ()], limits)
        return MultiModalData(
            num_image_tokens=[plan.num_tokens for plan in plans],
            num_image_patches=[_rows(plan) for plan in plans],
        )

    @property
    def model_input_names(self) -> list[str]:
        names = ["input_ids", "attention_mask"]
        if self.sees.tile_grids:
            names += ["pixel_values", "num_patches"]
        if self.sees.native:
            names += ["pixel_values", "image_grid_thw"]
        if self.sees.tiles:
            names += ["tiles", "num_tiles", "image_sizes"]
        return names


def _rows(plan: Plan) -> int:
    """Rows of a picture in what its tower at native resolution gets, or else its tiles."""
    if plan.native:
        return plan.native.grid[0] * plan.native.grid[1]
    return plan.num_tiles


def _flat(images: Any) -> list[Any]:
    """Nested lists of pictures, as transformers passes them, in one list."""
    if images is None:
        return []
    if isinstance(images, (list, tuple)):
        return [picture for item in images for picture in _flat(item)]
    return [images]


def as_published(source: Any) -> PILImage.Image:
    """A plain RGB conversion, as the published code does: transparency shows the hidden colour."""
    if isinstance(source, PILImage.Image):
        return source.convert("RGB")
    return open_image(source)
