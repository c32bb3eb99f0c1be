"""`chat` and `batch_chat`: the call forms of the published SAIL-VL and InternVL code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from valley.families import chat_published
from valley.prompt import render

History = list[tuple[str, str]]


class PublishedChat:
    """A mixin for models whose family's published entry is `chat`.

    `system_message`: used by `chat` instead of the published system prompt, where it is set.
    """

    config: Any
    device: torch.device
    generate: Any
    system_message: str | None = None

    @cached_property
    def num_image_token(self) -> int:
        """Tokens of a tile."""
        return self.config.family.policy(self.config.to_dict()).tile_tokens

    def chat(
        self,
        tokenizer: Any,
        pixel_values: Tensor | None,
        question: str,
        generation_config: Mapping[str, Any],
        history: History | None = None,
        return_history: bool = False,
        num_patches_list: Sequence[int] | None = None,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
    ) -> Any:
        """The reply to a question, the first where several are sampled, and with `return_history`
        the history it was added to.

        `pixel_values` `[tiles, 3, S, S]`: the tiles of every picture of the conversation in the
        order of its `<image>`, `num_patches_list` their number for each picture (without it they
        are one picture). `generation_config`: arguments of `generate`.
        """
        tiles = 0 if pixel_values is None else len(pixel_values)
        counts = [tiles] * bool(tiles) if num_patches_list is None else list(num_patches_list)
        if sum(counts) != tiles:
            raise ValueError(
                f"num_patches_list {counts} adds up to {sum(counts)}, not {tiles} tiles"
            )
        turns = chat_published.turns(question, history, tiles > 0, self.system_message)
        tokens = (IMG_START_TOKEN, IMG_CONTEXT_TOKEN, IMG_END_TOKEN)
        prompt = self._prompt(turns, counts, tokens)
        response, *_ = self._continue(
            tokenizer, [prompt], pixel_values, counts, generation_config, IMG_CONTEXT_TOKEN
        )
        history = [] if history is None else history
        history.append((turns[-1]["content"], response))
        if verbose:
            shown = prompt.replace(IMG_CONTEXT_TOKEN, "")
            print(shown.replace(IMG_START_TOKEN + IMG_END_TOKEN, "<image>"), response)  # noqa: T201
        return (response, history) if return_history else response

    def batch_chat(
        self,
        tokenizer: Any,
        pixel_values: Tensor | None,
        questions: Sequence[str],
        generation_config: Mapping[str, Any],
        num_patches_list: Sequence[int] | None = None,
        history: None = None,
        return_history: bool = False,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
        image_counts: Sequence[int] | None = None,
    ) -> list[str]:
        """The replies to questions, each about one picture, as one left-padded batch.

        `num_patches_list` (published also as `image_counts`): tiles of each question's picture.
        """
        if history is not None or return_history:
            raise NotImplementedError("batch_chat keeps no history: call chat in turn")
        given = num_patches_list if image_counts is None else image_counts
        if pixel_values is not None and (given is None or len(given) != len(questions)):
            raise ValueError("batch_chat needs num_patches_list=… with one number a question")
        counts = list(given or ()) if pixel_values is not None else []
        tokens = (IMG_START_TOKEN, IMG_CONTEXT_TOKEN, IMG_END_TOKEN)
        prompts = []
        for index, question in enumerate(questions):
            turns = chat_published.turns(question, None, bool(counts), None)
            prompts.append(self._prompt(turns, counts[index : index + 1], tokens))
        responses = self._continue(
            tokenizer, prompts, pixel_values, counts, generation_config, IMG_CONTEXT_TOKEN
        )
        if verbose:
            print(*questions, *responses, sep="\n")  # noqa: T201
        return responses

    def _prompt(
        self, turns: list[dict[str, str]], counts: Sequence[int], tokens: tuple[str, str, str]
    ) -> str:
        template = self.config.family.chat_template({"template": self.config.template})
        start, context, end = tokens
        pictures = [start + context * self.num_image_token * count + end for count in counts]
        return chat_published.write(turns, partial(render, template), pictures)

    @torch.no_grad()
    def _continue(
        self,
        tokenizer: Any,
        prompts: list[str],
        pixel_values: Tensor | None,
        counts: Sequence[int],
        generation_config: Mapping[str, Any],
        context_token: str,
    ) -> list[str]:
        """The replies to prompts. Grounding markup stays, control tokens do not."""
        self.config.image_token_id = tokenizer.convert_tokens_to_ids(context_token)
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
        inputs = {name: inputs[name].to(self.device) for name in ("input_ids", "attention_mask")}
        length = inputs["input_ids"].shape[1]
        if pixel_values is not None:
            inputs["pixel_values"] = pixel_values.to(self.device)
            inputs["num_patches"] = torch.tensor(counts)
        turn_close = self.config.family.chat.turn_close
        end = tokenizer.convert_tokens_to_ids(turn_close)
        output = self.generate(**inputs, **{**generation_config, "eos_token_id": end})
        hidden = set(tokenizer.all_special_ids) - {end}
        replies = []
        for row in output[:, length:].tolist():
            kept = [number for number in row if number not in hidden]
            text = tokenizer.decode(kept, skip_special_tokens=False)
            replies.append(text.split(turn_close)[0].strip())
        return replies
