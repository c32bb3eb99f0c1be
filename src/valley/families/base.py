"""What one line of models is: values only. The code that acts on them lives elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from valley.geometry import Policy
from valley.prompt import ChatFormat
from valley.types import Budget

#: Shapes of a checkpoint's tensors by name, from the headers of its files.
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Config: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """Where a part of the published weights comes from and under which licence.

    `tower`: the `model_type` of the native vision config that it speaks of, where the checkpoints
    of a line have different towers.
    """

    part: str
    source: str
    licence: str
    tower: str = ""


@dataclass(frozen=True)
class Layout:
    """The published checkpoint layout of a line.

    `architectures`: what its config.json may name. `key_rules`: (published prefix, native prefix)
    of tensor names, in which `*` stands for the number of a layer. `to_native` turns a published
    config.json and the tensor shapes into a native one, `to_published` turns it back. `stray`:
    prefixes of tensors that a checkpoint may carry without using them. `fused`: the part of a
    native name that the published layout keeps as one tensor, and those that its rows are shared
    out to. `flattened`: published tensors with a leading dimension of one, which the native layout
    has not.
    """

    architectures: tuple[str, ...]
    key_rules: tuple[tuple[str, str], ...]
    to_native: Callable[[Config, Shapes], Config]
    to_published: Callable[[Config], Config]
    stray: tuple[str, ...] = ()
    fused: tuple[str, tuple[str, ...]] = ("", ())
    flattened: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """One line of models.

    `model_type` and `architecture` name its native layout and are used by nobody else. `policy`:
    how the checkpoint of a native config cuts pictures; of {}, the released ones. `budget`
    and `published_budget` belong to the two styles. `parts` maps what users call a part to the
    native tensor prefixes it is made of. `system_prompts` are presets, asked for as `@name`.
    `chat_templates`: by the name that
    config.json gives, used instead of the one a checkpoint ships. `entry`: what the published code
    takes a conversation through.
    """

    name: str
    title: str
    model_type: str
    architecture: str
    layout: Layout
    policy: Callable[[Config], Policy]
    chat: ChatFormat
    budget: Budget
    published_budget: Budget
    budget_fields: frozenset[str]
    parts: Mapping[str, tuple[str, ...]]
    origins: tuple[Origin, ...]
    system_prompts: Mapping[str, str] = field(default_factory=dict)
    chat_templates: Mapping[str, str] = field(default_factory=dict)
    entry: Literal["processor", "chat"] = "processor"

    @property
    def cuts_tiles(self) -> bool:
        """Whether a tower of this line sees pictures in tiles."""
        return "max_tiles" in self.budget_fields

    def part_of(self, name: str) -> str:
        """The part that a tensor belongs to, by its native name."""
        return next(part for part, prefixes in self.parts.items() if name.startswith(prefixes))

    def chat_template(self, config: Config) -> str | None:
        """The chat template of a checkpoint by its config.json, None where it ships its own."""
        if not self.chat_templates:
            return None
        name = str(config.get("template"))
        if name not in self.chat_templates:
            known = ", ".join(self.chat_templates)
            raise ValueError(f"config.json names the template {name!r}: {self.title} has {known}")
        return self.chat_templates[name]

    def resolve_system(self, system: str | None) -> str | None:
        """The system prompt itself, or the preset that `@name` asks for."""
        if system is None or not system.startswith("@"):
            return system
        try:
            return self.system_prompts[system[1:]]
        except KeyError:
            known = ", ".join(f"@{name}" for name in self.system_prompts) or "none"
            raise ValueError(
                f"{self.title} has no system prompt {system}: it has {known}"
            ) from None

    def check_budget(self, budget: Budget) -> None:
        """Refuse a budget field that has no meaning for this line."""
        unknown = sorted(set(budget.set_fields()) - self.budget_fields)
        if unknown:
            known = ", ".join(sorted(self.budget_fields))
            raise ValueError(f"{self.title} has no {unknown[0]}: it takes {known}")
