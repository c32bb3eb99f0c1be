"""`Valley2Chat`: the published chat object of Valley2, with its request dict and its defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, BatchFeature

import valley.auto  # noqa: F401  (registers the native classes)
from valley.encoding import black
from valley.engine.placing import default_device
from valley.families.valley2_published import MAX_PICTURES, MAX_PIXELS, rewrite_chat
from valley.processing import ValleyProcessor, as_published
from valley.types import Budget


class Valley2Chat:
    """`Valley2Chat(model_path)({"chat_history": […], "images": […]})` answers as published.

    Every picture is tiled, at most eight are looked at, and a system message has no effect. Of the
    published arguments `use_fast`, `trust_remote_code`, `output_logits`, `conversation_tag` and
    `seed` (decoding is greedy) have no effect either. float16 becomes float32 on a CPU.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        torch_dtype: torch.dtype = torch.float16,
        padding_side: str = "left",
        use_fast: bool = True,
        trust_remote_code: bool = True,
        output_logits: bool = False,
        conversation_tag: str = "qwen2",
        max_new_tokens: int = 768,
        seed: int = 42,
        black_img: Any = None,
    ) -> None:
        device = default_device()
        slow = device == "cpu" and torch_dtype == torch.float16
        dtype = torch.float32 if slow else torch_dtype
        self.max_new_tokens = max_new_tokens
        self.black = black() if black_img is None else as_published(black_img)
        self.processor = ValleyProcessor.from_pretrained(model_path, only_crop_single_image=False)
        self.processor.tokenizer.padding_side = padding_side
        model: Any = AutoModelForImageTextToText.from_pretrained(model_path, dtype=dtype)
        self.model = model.to(device).eval()

    def inputs(self, request: Mapping[str, Any]) -> BatchFeature:
        """What the model gets for a request: see `ValleyProcessor`'s published form."""
        pictures = [as_published(item) for item in request.get("images") or [self.black]]
        pictures = pictures[:MAX_PICTURES]
        messages = rewrite_chat(request["chat_history"], len(pictures))
        ids, labels = self.processor.tokenise_published(messages)
        budget = self.processor.planner.budget(Budget(max_pixels=MAX_PIXELS), "published")
        return self.processor.published_inputs(ids, labels, pictures, budget)

    @torch.inference_mode()
    def __call__(self, request: Mapping[str, Any]) -> str:
        """The reply to a request, tags kept."""
        inputs = self.inputs(request).to(self.model.device)
        names = ("input_ids", "images", "image_sizes", "pixel_values", "image_grid_thw")
        output = self.model.generate(
            **{name: inputs[name] for name in names if name in inputs},
            do_sample=False,
            repetition_penalty=1.0,
            max_new_tokens=self.max_new_tokens,
        )
        reply = output[0, inputs["input_ids"].shape[1] :].tolist()
        return self.processor.decode_reply(reply)
