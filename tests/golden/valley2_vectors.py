"""Vectors of the published Valley2 code: counts of 32 sizes, 19 prompts, 9 runs of a tiny model.

The tiny model's weights come from a formula (`valley2_tiny_keys.json`), its towers have two heads,
which no published config.json can say: it is asked in the native layout.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torch import Tensor
from transformers import AutoModel, AutoProcessor

import valley.auto  # noqa: F401  registers the native classes
from golden import folders
from golden.compare import Finding, Samples, compare_as, findings
from golden.report import Result, guarded
from golden.vectors import asked_for
from valley.families.valley2 import VALLEY2
from valley.model.convert import convert
from valley.tiling import AnyResolution
from valley.types import Budget
from valley.valley2_chat import Valley2Chat

SYSTEM = "You are Valley, developed by ByteDance. Your are a helpfull Assistant."
KEYS = folders.DATA / "valley2_tiny_keys.json"
HEADS = {"vision_config": "num_attention_heads", "native_config": "num_heads"}
#: Options of the published processor behind a vector.
OPTIONS: dict[str, dict[str, Any]] = {
    "multi2_crop_all": {"only_crop_single_image": False},
    "multi_cropall": {"only_crop_single_image": False},
    "multi2_noanyres": {"anyres": False},
    "anyres_false": {"anyres": False},
    "nospecial_single": {"use_special_start_end_token": False},
    "nospecial_adjacent": {"use_special_start_end_token": False},
}
#: What the published code does that ours does not, by vector. What it should have given is checked.
DIFFERENT = {
    "nospecial_adjacent": "published: IndexError on two placeholders side by side; ours: their ids",
    "chat_video3": "published: IndexError on <video> in the words; ours: it stays words",
    "fewer_images": "published: ids that no published model takes; ours: refused, ids the same",
    "more_placeholders_than_images": "published: IndexError in the model; ours: refused before it",
    "fewer_placeholders_than_images": "published: a picture without placeholder is ignored; ours: "
    "refused, and the same values for the picture that was looked at",
}


def write_checkpoint(target: Path, tokenizer: Path) -> Path:
    """The tiny checkpoint in the native layout, with the tokenizer files in a folder."""
    spec = folders.read(KEYS)
    published = target.with_name(target.name + ".published")
    published.mkdir(parents=True)
    save_file({key: filled(key, tuple(shape)) for key, shape in spec["keys"].items()},
              published / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    (published / "config.json").write_text(json.dumps(spec["config"]))
    for file in tokenizer.iterdir():
        (published / file.name).write_bytes(file.read_bytes())
    convert(published, target, "native")
    config = folders.read(target / "config.json")
    for tower, key in HEADS.items():
        config[tower][key] = 2
    (target / "config.json").write_text(json.dumps(config))
    return target


def filled(key: str, shape: tuple[int, ...]) -> Any:
    """`weight_fill` of the keys file."""
    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    values = values.astype(np.float32)
    if key.endswith(".bias"):
        return np.float32(0.02) * values
    if len(shape) == 1:
        return np.float32(1) + np.float32(0.1) * values
    if "embed" in key:
        return np.float32(0.5) * values
    return (values / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def drawn(width: int, height: int) -> Image.Image:
    """`test_image` of the vectors."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (7 * x + 3 * y) % 256, (2 * x + 5 * y + 40) % 256, (x * y // 7 + 90) % 256
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


#: The question of each run, where it is not the rendered prompt of one of `prompts`.
ASKED: dict[str, tuple[str, tuple[tuple[int, int], ...]]] = {
    "single_640x480": ("Describe the given image.", ((640, 480),)),
    "single_3x3_black_textonly": ("Hello", ()),
    "single_500x2000": ("Describe", ((500, 2000),)),
    "multi_nocrop": ("Compare", ((640, 480), (300, 500))),
    "multi_cropall": ("Compare", ((640, 480), (300, 500))),
    "train_two_turn": ("Hi", ((200, 100),)),
    "anyres_false": ("Hi", ((200, 100),)),
    "more_placeholders_than_images": ("<image><image> x", ((200, 100),)),
    "fewer_placeholders_than_images": ("<image> x", ((200, 100), (100, 200))),
}
ANSWERS = ("Hello!", "Bye", "See you.")


class Run:
    """One run of the tiny model: what the processor gives, and what the model makes of it.

    Only the pictures that have a placeholder are shown to the model.
    """

    def __init__(self, model: Any, checkpoint: Path, name: str) -> None:
        self.model = model
        text, sizes = ASKED[name]
        self.processor = AutoProcessor.from_pretrained(checkpoint, **OPTIONS.get(name, {}))
        self.messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
        self.training = name.startswith("train")
        if self.training:
            roles = ("assistant", "user", "assistant")
            pairs = zip(roles, ANSWERS, strict=True)
            self.messages += [{"role": role, "content": text} for role, text in pairs]
        self.pictures = [drawn(*size) for size in sizes]

    def call(self) -> Mapping[str, Any]:
        record = {"conversations": self.messages, "images": self.pictures or None}
        return self.processor(record, inference=not self.training)

    @cached_property
    def inputs(self) -> Mapping[str, Any]:
        """As `call`, also where placeholders and pictures do not pair up."""
        if "<image>" not in self.messages[1]["content"]:
            return self.call()
        messages = [dict(message) for message in self.messages]
        ids, labels = self.processor.published_ids(messages, len(self.pictures), True, None)
        budget = self.processor.planner.budget(style="published")
        return self.processor.published_inputs(ids, labels, self.pictures, budget)

    @property
    def seen(self) -> dict[str, Any]:
        """The model's arguments."""
        count = self.inputs["input_ids"][0].tolist().count(-200)
        grids = self.inputs["image_grid_thw"][:count]
        return {
            "input_ids": self.inputs["input_ids"],
            "images": [self.inputs["images"][0][:count]],
            "image_sizes": [self.inputs["image_sizes"][0][:count]],
            "pixel_values": self.inputs["pixel_values"][: int(grids.prod(-1).sum())],
            "image_grid_thw": grids,
        }

    @cached_property
    def given(self) -> dict[str, Any]:
        sample = self.inputs["images"][0]
        whole = isinstance(sample, Tensor)
        pixels = Samples(self.inputs["pixel_values"])
        sums = [Samples(stack).sum for stack in ([sample] if whole else sample)]
        shapes = [list(stack.shape) for stack in ([sample] if whole else sample)]
        return {
            "input_len": self.inputs["input_ids"].shape[1],
            "images_shapes": shapes if whole else [shapes],
            "images_sum": sums if whole else [sums],
            "grid": self.inputs["image_grid_thw"].tolist(),
            "image_sizes": [[list(size) for size in self.inputs["image_sizes"][0]]],
            "pixel_values_sum": pixels.sum,
            "pixel_values_abs": pixels.abs_sum,
        }

    @cached_property
    def computed(self) -> dict[str, Any]:
        kept: list[Tensor] = []

        def keep(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            kept.append(kwargs["inputs_embeds"])

        decoder = self.model.model.language_model
        hook = decoder.register_forward_pre_hook(keep, with_kwargs=True)
        labels = {"labels": self.inputs["labels"]} if self.training else {}
        with torch.no_grad():
            output = self.model(**self.seen, **labels)
        hook.remove()
        logits = output.logits[0]
        embeddings = Samples(kept[0])
        values = {
            "seq_len": len(logits),
            "emb_sum": embeddings.sum,
            "emb_abs": embeddings.abs_sum,
            "last_logits_top5": logits[-1].topk(5).indices.tolist(),
            "last_logits_first8": logits[-1, :8].tolist(),
            "logits_abs_mean": float(sum(row.abs().double().mean() for row in logits))
            / len(logits),
        }
        if self.training:
            trained = self.inputs["labels"][0] != -100
            return values | {"loss": [float(output.loss)], "n_labels": int(trained.sum())}
        return values | {"greedy_cache": self.greedy(6)}

    def greedy(self, count: int) -> list[int]:
        options = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": count}
        with torch.no_grad():
            output = self.model.generate(**self.seen, **options)
        return output[0, self.inputs["input_ids"].shape[1] :].tolist()

    @cached_property
    def intermediates(self) -> dict[str, Any]:
        """Features of both towers and the connector. The published code puts a copy of its first
        patch before SigLIP's, which no connector looks at."""
        tiles, native = self.model.model.branches.values()
        with torch.no_grad():
            seen = tiles.tower(torch.cat(list(self.inputs["images"][0]))).last_hidden_state
            shown = tiles.connector(seen)
            (whole,) = native(self.inputs["pixel_values"], self.inputs["image_grid_thw"])
        doubled = torch.cat([seen[:, :1], seen], 1)
        values: dict[str, Any] = {
            "proj_00": shown[0, 0, :4].tolist(),
            "qwen_0": whole[0, :4].tolist(),
        }
        for name, tensor in (("siglip", doubled), ("proj", shown), ("qwen", whole)):
            found = Samples(tensor)
            values[f"{name}_shape"] = list(tensor.shape)
            values[f"{name}_sum"], values[f"{name}_abs"] = found.sum, found.abs_sum
        return values


KINDS = {
    **dict.fromkeys(("images_sum", "pixel_values_sum", "pixel_values_abs"), "sum"),
    **dict.fromkeys(("emb_sum", "emb_abs"), "sum"),
    **{f"{n}_{part}": "sum" for n in ("siglip", "proj", "qwen") for part in ("sum", "abs")},
    **dict.fromkeys(("last_logits_first8", "logits_abs_mean"), "logits"),
    **dict.fromkeys(("proj_00", "qwen_0"), "features"),
    "loss": "loss",
}


class Valley2Vectors:
    """Sections of the Valley2 vectors. `checkpoint`: the tiny one, in the native layout."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.runs: dict[str, Run] = {}

    @staticmethod
    def takes(vectors: Mapping[str, Any]) -> bool:
        return "anyres_and_token_counts" in vectors

    @property
    def sections(self) -> dict[str, Callable[[str, Any], Iterator[Result]]]:
        return {
            "env": lambda group, section: iter(()),
            "test_image": lambda group, section: iter(()),
            "anyres_and_token_counts": self.counts,
            "prompts": self.prompts,
            "tiny_model_golden": self.golden,
            "tiny_model_intermediates": self.intermediates,
        }

    @cached_property
    def model(self) -> Any:
        return AutoModel.from_pretrained(self.checkpoint, dtype=torch.float32).eval()

    def run(self, name: str) -> Run:
        if name not in self.runs:
            self.runs[name] = Run(self.model, self.checkpoint, name)
        return self.runs[name]

    # -- counts -----------------------------------------------------------------------------------

    def counts(self, group: str, section: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
        for row in section:
            case = "x".join(map(str, row["size"]))
            yield guarded(group, case, partial(self._row, row))

    def _row(self, row: Mapping[str, Any]) -> tuple[Finding, ...]:
        policy, size = VALLEY2.policy({}), (row["size"][0], row["size"][1])
        base = VALLEY2.published_budget
        plan = policy.plan(size, base)
        capped = policy.plan(size, Budget(max_pixels=1280 * 784).over(base))
        tiles, view = plan.tiles, plan.native
        assert tiles is not None and view is not None and capped.native is not None
        columns, rows = view.grid
        actual = {
            "size": list(size),
            "grid_wh": list(tiles.grid),
            "tiles": tiles.count,
            "unpad_hw": list(AnyResolution("vision").window(size, tiles.grid).pooled),
            "siglip_tokens_single": tiles.num_tokens,
            "fetch_size": list(view.resizes[0]),
            "grid_thw_hf": [1, rows, columns],
            "eagle_tokens_hf": view.num_tokens,
            "grid_thw_chat1280": [1, *capped.native.grid[::-1]],
            "eagle_tokens_chat1280": capped.native.num_tokens,
            "pixel_values_hf": [rows * columns, 1176],
            "total_hf_single": plan.num_tokens,
            "total_chat_single": capped.num_tokens,
            "total_hf_multi": policy.plan(size, Budget(max_tiles=1).over(base)).num_tokens,
        }
        return findings({}, row, actual)

    # -- prompts ----------------------------------------------------------------------------------

    def prompts(self, group: str, section: Mapping[str, Any]) -> Iterator[Result]:
        for name, vector in section.items():
            check = self._chat if name.startswith("chat_") else self._prompt
            yield guarded(group, name, partial(check, name, vector))

    def _prompt(self, name: str, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        processor = AutoProcessor.from_pretrained(self.checkpoint, **OPTIONS.get(name, {}))
        if "error" in vector:
            asked = [{"role": "user", "content": "<image><image>"}]
            output = processor({"conversations": asked, "images": [drawn(28, 28)] * 2})
            return (_instead(name, output["input_ids"][0].tolist().count(-200) == 2),)
        messages, _, _ = asked_for(vector["text"])
        pictures = [Image.new("RGB", tuple(size)) for size in vector["image_sizes"][0]]
        record = {"conversations": messages, "images": None if name == "text_only" else pictures}
        inference = not name.endswith(("train", "leak"))
        extra: tuple[Finding, ...] = ()
        if name in DIFFERENT:
            extra = (_instead(name, _refuses(partial(processor, record, inference))),)
            ids = processor.published_ids(messages, len(pictures), inference, None)
            budget = processor.planner.budget(style="published")
            output = processor.published_inputs(*ids, pictures, budget)
        else:
            output = processor(record, inference=inference)
        sample = output["images"][0]
        stacked = isinstance(sample, Tensor)
        actual = {
            "text": vector["text"],  # what was asked, not computed
            "input_ids": output["input_ids"][0].tolist(),
            "labels": output["labels"][0].tolist(),
            "images": [str(type(sample)) if stacked else [list(stack.shape) for stack in sample]],
            "image_sizes": [[list(size) for size in output["image_sizes"][0]]],
            "pixel_values": list(output["pixel_values"].shape),
            "pv_dtype": str(output["pixel_values"].dtype),
            "grid": output["image_grid_thw"].tolist(),
            "keys": sorted(output),
        }
        return findings({}, {**vector, "keys": sorted(vector["keys"])}, actual) + extra

    @cached_property
    def chat(self) -> Valley2Chat:
        return Valley2Chat(self.checkpoint, torch_dtype=torch.float32)

    def _chat(self, name: str, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        """Through the published chat object, with a system message that it ignores."""
        system = {"role": "system", "content": SYSTEM}
        if "error" in vector:
            asked = [system, {"role": "user", "content": "<video>\nDescribe"}]
            inputs = self.chat.inputs({"chat_history": asked, "images": [drawn(28, 28)] * 3})
            text = self._words(inputs["input_ids"][0].tolist())
            return (_instead(name, "<video>" in text and text.count("<image>") == 3),)
        question = vector["text"].split("<|im_start|>user\n")[1].split("<|im_end|>")[0]
        count = question.count("<image>")
        question = question.replace("<im_start><image><im_end>", "")
        if name == "chat_extra_placeholder":
            question = "<image><image>" + question
        request = {
            "chat_history": [system, {"role": "user", "content": question.removeprefix("\n")}],
            "images": [drawn(28, 28)] * count,
        }
        ids = self.chat.inputs(request)["input_ids"][0].tolist()
        return findings({}, vector, {"input_ids": ids, "text": self._words(ids)})

    def _words(self, ids: list[int]) -> str:
        decode = self.chat.processor.tokenizer.decode
        return "".join("<image>" if i == -200 else decode([i]) for i in ids)

    # -- the tiny model ---------------------------------------------------------------------------

    def golden(self, group: str, section: Mapping[str, Any]) -> Iterator[Result]:
        for name, vector in section.items():
            if name in ASKED:
                yield guarded(group, name, partial(self._golden, name, vector))
            else:
                yield Result(group, name, error=f"unknown run {name}")

    def _golden(self, name: str, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        run = self.run(name)
        extra: tuple[Finding, ...] = ()
        if name in DIFFERENT:
            extra = (_instead(name, _refuses(run.call)),)
        given = {key: value for key, value in vector.items() if key not in ("hf", "gh")}
        found = findings(KINDS, given, run.given)
        for path in ("hf", "gh"):  # both published implementations give the same
            if "error" not in vector[path]:
                found += findings(KINDS, vector[path], run.computed)
        return found + extra

    def intermediates(self, group: str, section: Mapping[str, Any]) -> Iterator[Result]:
        run = self.run("single_640x480")
        for name, vector in section.items():
            if name == "inter_640x480":
                yield Result(group, name, findings(KINDS, vector, run.intermediates))
            elif name == "tile_samples_640x480":
                tiles = torch.cat(list(run.inputs["images"][0]))
                yield Result(group, name, _samples(vector, tiles))
            elif name == "pv_samples_640x480":
                yield Result(group, name, _samples(vector, run.inputs["pixel_values"]))
            elif name in ("hf", "gh"):
                yield guarded(group, f"batch {name}", partial(self._batch, vector))
            else:
                yield Result(group, name, error=f"unknown section {name}")

    def _batch(self, vector: Mapping[str, Any]) -> tuple[Finding, ...]:
        """Two requests by themselves and as a left-padded batch. Which two is not recorded; these
        begin with the same six tokens in their own runs."""
        return findings({}, vector, {"single": self._alone, "batch": self._together})

    @cached_property
    def _alone(self) -> list[list[int]]:
        return [self.run(name).greedy(12) for name in PAIR]

    @cached_property
    def _together(self) -> list[list[int]]:
        runs = [self.run(name).seen for name in PAIR]
        rows = [run["input_ids"][0] for run in runs]
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True, padding_side="left")
        with torch.no_grad():
            output = self.model.generate(
                input_ids=pad(rows),
                attention_mask=pad([torch.ones_like(row) for row in rows]),
                images=[run["images"][0] for run in runs],
                image_sizes=[run["image_sizes"][0] for run in runs],
                pixel_values=torch.cat([run["pixel_values"] for run in runs]),
                image_grid_thw=torch.cat([run["image_grid_thw"] for run in runs]),
                **{"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": 12},
            )
        return output[:, max(map(len, rows)) :].tolist()


PAIR = ("single_640x480", "fewer_placeholders_than_images")


def _instead(name: str, as_told: bool) -> Finding:
    """Whether ours does what `DIFFERENT` says it does in the place of the published code."""
    return Finding("instead", 0.0, None if as_told else f"not so: {DIFFERENT[name]}")


def _refuses(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ValueError as error:
        return "<image>" in str(error) and "pictures were given" in str(error)
    return False


def _samples(vector: Mapping[str, float], values: Tensor) -> tuple[Finding, ...]:
    """Single values of a tensor, listed as "(index, …)"."""
    places = {key: tuple(map(int, key.strip("()").split(","))) for key in vector}
    return tuple(
        compare_as("pixels", key, vector[key], float(values[place]))
        for key, place in places.items()
    )
