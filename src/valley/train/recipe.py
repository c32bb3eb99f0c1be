"""Recipes: one YAML file per stage of training, whose keys are the fields of these dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from valley.types import Budget

PartName: TypeAlias = Literal["towers", "connector", "decoder", "embeddings"]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]

#: Unknown keys are errors, in every dataclass here.
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Source:
    """Some data: a file in any layout of `valley.data.formats`.

    weight: its share of the mix, by default its number of samples. replay: it is data of an earlier
    stage, and shares in `Stage.replay`. media_root: the folder of relative media paths, the file's
    own by default.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: Path
    weight: Positive | None = None
    replay: bool = False
    format: str | None = None
    media_root: Path | None = None


@dataclass(frozen=True)
class Part:
    """How a part learns: its learning rate, and the rank of adapters that learn in its place.

    tokens: of `embeddings`, those whose input vectors alone learn.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    rate: Positive
    lora: Count | None = None
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimizer:
    """AdamW; learning rates rise over `warmup`, a share of all steps, then go by `decay`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    warmup: Share = 0.03
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    clip: Positive = 1.0


@dataclass(frozen=True)
class Batch:
    """What one step learns from, over all ranks: exactly `samples` of them, or `rows` filled to
    the sequence length from a buffer of `buffer` samples a rank, whichever is given."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    samples: Count | None = None
    rows: Count | None = None
    buffer: Count = 128

    def __post_init__(self) -> None:
        if (self.samples is None) == (self.rows is None):
            raise ValueError("give either samples or rows")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What every stage has.

    model: what it starts from; output: the folder of checkpoints and results. parts: those that
    learn; a part that is not named is frozen. sequence: tokens of a row at most; a longer sample
    loses its last turns. visual: visual tokens of a row at most. epochs or steps: how long.
    replay: share of the samples that are of sources marked so. precision: of the computing; `auto`
    is bfloat16 where the processor has it, else float32; weights are float32. every: steps between
    checkpoints; keep: how many of them. ahead: steps whose pictures are opened in advance, by a
    process of its own; 0: none. shard: split the weights between the processes, which else have a
    copy each.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    model: str
    output: Path
    data: tuple[Source, ...]
    parts: Mapping[PartName, Part]
    batch: Batch
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sequence: Count = 8192
    visual: Count | None = None
    budget: Budget = Budget()
    steps: Count | None = None
    epochs: Positive | None = None
    optimizer: Optimizer = Optimizer()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpointing: bool = False
    shard: bool = False
    evaluate: tuple[Source, ...] = ()
    every: Count = 100
    keep: Count = 2
    ahead: Annotated[int, Field(ge=0)] = 2
    seed: int = 42
    report: tuple[str, ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if not self.parts:
            raise ValueError("parts: name at least one part that learns")
        if not self.data:
            raise ValueError("data: name at least one source")
        self._check_tokens()
        if self.shard and self.adapts and not all(part.lora for part in self.parts.values()):
            raise ValueError("shard: beside adapters no part can learn whole, give each a lora")

    @property
    def adapts(self) -> bool:
        """Whether adapters learn, and the model's own weights stay."""
        return any(part.lora for part in self.parts.values())

    def _check_tokens(self) -> None:
        chosen = [name for name, part in self.parts.items() if part.tokens]
        if chosen and chosen != ["embeddings"]:
            raise ValueError(f"parts: {chosen[0]} has no tokens, only embeddings have")
        if chosen and self.shard:
            raise ValueError("parts: embeddings with tokens cannot be sharded, leave out shard")


@dataclass(frozen=True, kw_only=True)
class SFT(Stage):
    """Supervised learning of the assistant's words.

    weighting: of a sample's n supervised tokens: `token` 1, `sample` 1/n, `square` 1/sqrt(n) each.
    """

    stage: Literal["sft"] = "sft"
    weighting: Literal["token", "sample", "square"] = "token"


@dataclass(frozen=True, kw_only=True)
class Preference(Stage):
    """Learning from a chosen and a rejected reply: weights of DPO, BCO and SFT make MPO."""

    stage: Literal["preference"] = "preference"
    beta: Positive = 0.1
    dpo: Annotated[float, Field(ge=0)] = 0.8
    bco: Annotated[float, Field(ge=0)] = 0.2
    sft: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dpo + self.bco + self.sft == 0:
            raise ValueError("dpo, bco and sft are all 0: nothing would be learnt")


@dataclass(frozen=True, kw_only=True)
class GRPO(Stage):
    """Reinforcement with verifiable rewards. A sample is a prompt; `batch.samples` counts prompts.

    group: replies to each prompt, of `reply` tokens at most. iterations: steps that learn from the
    same replies. clip_low, clip_high, dual: bounds of the policy ratio. kl: weight
    of the distance from the starting model. unbiased: the group's standard deviation.
    accuracy_weight: of accuracy beside format in the reward. discard: leave out groups whose
    replies are all right or all wrong. redraw: how often the next prompts may be drawn, a batch at
    a time, until `batch.samples` groups are left (DAPO's dynamic sampling).
    """

    stage: Literal["grpo"] = "grpo"
    group: Annotated[int, Field(ge=2)] = 8
    reply: Count = 4096
    temperature: Positive = 1.0
    top_p: Share = 1.0
    iterations: Count = 1
    clip_low: Positive = 0.2
    clip_high: Positive = 0.3
    dual: Positive = 3.0
    kl: Annotated[float, Field(ge=0)] = 0.0
    unbiased: bool = True
    accuracy_weight: Positive = 1.0
    discard: bool = True
    redraw: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.redraw and not self.discard:
            raise ValueError("redraw replaces what discard leaves out: set both or neither")
        if self.batch.samples is None:
            raise ValueError("batch: give samples, the number of prompts of a step")
        if self.reply >= self.sequence:
            raise ValueError(f"reply {self.reply} leaves no room for a prompt in {self.sequence}")
        if self.every % self.iterations:
            raise ValueError(f"every {self.every} must be a multiple of iterations")


Recipe: TypeAlias = SFT | Preference | GRPO


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Recipe, Field(discriminator="stage")])


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file. `changes`: `key=value` or `key.key=value`, values as in YAML.

    Paths stay as written: relative ones are seen from the working directory. Raises ValueError.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise ValueError(f"{path}{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}: a recipe is a mapping of keys, such as 'stage: sft'")
    for change in changes:
        _set(record, change)
    try:
        return _adapter().validate_python(record)
    except ValidationError as error:
        raise ValueError(f"{path}: {_first(error)}") from None


def _set(record: dict[str, Any], change: str) -> None:
    name, equals, value = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change}: write key=value")
    *parents, last = name.split(".")
    for parent in parents:
        record = record.setdefault(parent, {})
        if not isinstance(record, dict):
            raise ValueError(f"--set {change}: {parent} holds no keys")
    record[last] = yaml.safe_load(value)


def _first(error: ValidationError) -> str:
    """The first problem in one line, and how many more there are."""
    found = error.errors()[0]
    where = ".".join(str(step) for step in found["loc"][1:])
    problem = found["msg"].removeprefix("Value error, ")
    if found["type"] == "extra_forbidden":
        problem = "there is no such key"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return (f"{where}: " if where else "") + problem + more
