"""What vLLM's multi-modal processor has to know of our pictures: their fields and their tokens.

Clips are pictures here: the caller sends their frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import Any

from transformers import BatchFeature
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import ImageProcessorItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdateDetails,
)

from valley.processing import ValleyProcessor
from valley.types import Size

#: Sides of pictures among which the costliest is looked for.
SIDES = (28, 224, 448, 896, 1344, 2240, 4480)


def fields(pixels: Mapping[str, Any]) -> dict[str, MultiModalFieldConfig]:
    """How the tensors of `encoding.pixel_tensors` are cut between pictures."""
    found = {name: MultiModalFieldConfig.batched("image") for name in pixels}
    if (grids := pixels.get("image_grid_thw")) is not None:
        rows = grids.prod(-1)
    else:
        rows = pixels.get("num_patches")
    if rows is not None:
        found["pixel_values"] = MultiModalFieldConfig.flat_from_sizes("image", rows)
    return found


class PictureInfo(BaseProcessingInfo):
    """Pictures only, as many as a prompt holds."""

    @cached_property
    def processor(self) -> ValleyProcessor:
        config = self.ctx.model_config
        loaded: ValleyProcessor = ValleyProcessor.from_pretrained(
            config.model, revision=config.revision
        )
        return loaded

    def get_hf_processor(self, **kwargs: object) -> ValleyProcessor:
        return self.processor

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        return {}

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": None}

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        return {"image": self.tokens(self.costliest())}

    def costliest(self) -> Size:
        """The size of a picture that takes the most tokens."""
        return max(product(SIDES, SIDES), key=self.tokens)

    def tokens(self, size: Size) -> int:
        budget = self.processor.budget(self.ctx.get_merged_mm_kwargs({}))
        return self.processor.planner.plan(size, budget).num_tokens


class LargestPicture(BaseDummyInputsBuilder[PictureInfo]):
    """What vLLM measures its memory with."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return self.info.processor.image_token * mm_counts.get("image", 0)

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Any]
    ) -> dict[str, Any]:
        width, height = self.info.costliest()
        number, wanted = mm_counts.get("image", 0), mm_options.get("image")
        images = self._get_dummy_images(
            width=width, height=height, num_images=number, overrides=wanted
        )
        return {"image": images}


class PictureProcessor(BaseMultiModalProcessor[PictureInfo]):
    """Each `image_token` of a prompt becomes the tokens that the plan gives its picture."""

    def apply(self, inputs: Any, timing_ctx: Any) -> Any:
        """How many pictures a prompt holds decides whether they are cut into tiles: that becomes a
        limit of the call, and so a part of the key under which vLLM keeps what it made of them.

        Raises ValueError where the prompt has other placeholders than those of its pictures.
        """
        processor = self.info.processor
        limits = self.info.ctx.get_merged_mm_kwargs(inputs.hf_processor_mm_kwargs)
        number = inputs.mm_data_items.get_all_counts().get("image", 0)
        if (found := inputs.prompt.count(processor.image_token_id)) != number:
            raise ValueError(
                f"the prompt has {found} {processor.image_token}, {number} images given"
            )
        budget = processor.budget(limits, number)
        if processor.planner.family.cuts_tiles and budget.max_tiles is not None:
            limits["max_tiles"] = budget.max_tiles
        return super().apply(replace(inputs, hf_processor_mm_kwargs=limits), timing_ctx)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return fields(hf_inputs)

    def _get_prompt_updates(
        self,
        mm_items: Any,
        hf_processor_mm_kwargs: Mapping[str, Any],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptReplacement]:
        if not out_mm_kwargs.get("image"):
            return []
        processor = self.info.processor
        images = mm_items.get_items("image", ImageProcessorItems)
        sizes = [images.get_image_size(index) for index in range(len(images))]
        counted = processor._get_num_multimodal_tokens(
            [(size.height, size.width) for size in sizes], **hf_processor_mm_kwargs
        )
        given = [len(item["pixel_values"].data) for item in out_mm_kwargs["image"]]
        if given != counted["num_image_patches"]:
            # Past this point a wrong number would end the engine.
            planned = counted["num_image_patches"]
            raise ValueError(f"pictures of {sizes} have {given} rows of pixels, planned {planned}")

        def written(index: int) -> PromptUpdateDetails[Any]:
            text = processor.chat.picture(counted["num_image_tokens"][index])
            ids = processor.writer.tokens(text).input_ids
            return PromptUpdateDetails.select_token_id(ids, processor.image_token_id)

        return [PromptReplacement("image", [processor.image_token_id], written)]
