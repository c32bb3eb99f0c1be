"""What a request costs and sees, before any pixel or weight is touched. Torch-free.

A `Planner` joins a family's policy with the limits a checkpoint ships; it opens a request's media
and gives every picture and frame its `Plan`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from PIL.Image import Image as Picture

from valley.families import Family, family_of
from valley.geometry import Plan, Policy, pick_frames
from valley.media.images import image_size, open_as_stored, open_image
from valley.media.kind import media_kind
from valley.media.limits import Limits
from valley.media.sources import localize
from valley.media.video import Clip, open_video, probe_video
from valley.model.files import native_config, read_json
from valley.prompt import Tokens, Writer
from valley.types import (
    Audio,
    Budget,
    Image,
    MediaSource,
    Message,
    Part,
    Request,
    Size,
    Style,
    Text,
    Video,
    describe_source,
)

#: Budget fields by the names that published preprocessor configs give them.
PUBLISHED_NAMES = {"max_dynamic_patch": "max_tiles"}

History: TypeAlias = Sequence[Message | Mapping[str, Any] | tuple[str, str]]


@dataclass(frozen=True)
class Outline:
    """A picture of which only the size is known; stands for one wherever no pixel is needed."""

    size: Size


@dataclass(frozen=True)
class Planner:
    """`policy`: how the checkpoint's towers see a picture. `checkpoint_budget`: limits from its
    preprocessor_config.json, which may also say `single_resize`: that its model was trained without
    the first of two resizes."""

    family: Family
    policy: Policy
    checkpoint_budget: Budget = Budget()
    single_resize: bool = False

    @classmethod
    def of(cls, directory: os.PathLike[str]) -> Planner:
        """The planner of a checkpoint directory."""
        path = Path(directory)
        config = read_json(path / "config.json")
        family = family_of(config)
        policy = family.policy(native_config(config, path))
        shipped = {
            **read_json(path / "preprocessor_config.json"),
            **read_json(path / "processor_config.json"),
        }
        return cls(family, policy, budget_from(shipped), bool(shipped.get("single_resize")))

    def budget(self, asked: Budget = Budget(), style: Style = "default") -> Budget:
        """The limits in force: what was asked, over the checkpoint's, over the family's."""
        self.family.check_budget(asked)
        base = self.family.budget if style == "default" else self.family.published_budget
        budget = asked.over(self.checkpoint_budget.over(base))
        low, high = budget.min_pixels, budget.max_pixels
        if low and high and low > high and asked.min_pixels is None:
            budget = replace(budget, min_pixels=high)
        return budget

    def shared(self, budget: Budget, number: int) -> Budget:
        """The limits of each of `number` pictures: only one that is alone is cut into tiles,
        unless the budget says how many."""
        if number > 1 and self.family.cuts_tiles and budget.max_tiles is None:
            return replace(budget, max_tiles=1)
        return budget

    def budget_of(self, request: Request) -> Budget:
        """The limits of each picture of a request, which is open or outlined."""
        parts = [part for message in request.messages for part in message.parts]
        budget = self.budget(request.budget, request.style)
        return self.shared(budget, sum(len(pictures_of(part)) for part in parts))

    def plan(self, size: Size, budget: Budget, *, frame: bool = False) -> Plan:
        policy = self.policy.single() if self.single_resize else self.policy
        return policy.plan(size, budget, frame)

    def plans(self, part: Part, budget: Budget) -> list[Plan]:
        """The plans of an opened picture (one) or clip (one a frame)."""
        if isinstance(part, Image):
            return [self.plan(part.source.size, budget)]
        if isinstance(part, Video):
            return [self.plan(frame.size, budget, frame=True) for frame in part.source.frames]
        return []

    def open(self, request: Request, limits: Limits = Limits()) -> Request:
        """The request with every medium opened: pictures as PIL images, clips as `Clip`.

        Raises ValueError for media that cannot be opened within the limits.
        """
        return self._with_media(request, limits, self._open_part)

    def outline(self, request: Request, limits: Limits = Limits()) -> Request:
        """As `open`, from the headers of the files alone: pictures and frames are `Outline`s."""
        return self._with_media(request, limits, self._outline_part)

    def _with_media(
        self, request: Request, limits: Limits, see: Callable[[Part, Budget, Limits, bool], Part]
    ) -> Request:
        budget = self.budget(request.budget, request.style)
        stored = self.as_stored(request.style)
        messages = tuple(
            Message(m.role, tuple(see(part, budget, limits, stored) for part in m.parts))
            for m in request.messages
        )
        return replace(request, messages=messages)

    def request(
        self,
        prompt: str,
        *media: MediaSource | Part,
        history: History | None = None,
        system: str | None = None,
        style: Style = "default",
        budget: Budget | None = None,
        thinking: bool | None = None,
        limits: Limits = Limits(),
    ) -> Request:
        """The request for a question about media, its media opened and checked.

        `history`: earlier turns, as messages or (question, answer) pairs. `system`: a system
        prompt, or `@name` for a preset of the family. `thinking`: ask for or switch off reasoning.
        """
        parts = [_part(item, limits) for item in media]
        turns = [*messages_of(history or ()), Message.of("user", *parts, prompt)]
        return self.conversation(
            turns, system=system, style=style, budget=budget, thinking=thinking, limits=limits
        )

    def conversation(
        self,
        messages: History,
        *,
        system: str | None = None,
        style: Style = "default",
        budget: Budget | None = None,
        thinking: bool | None = None,
        limits: Limits = Limits(),
    ) -> Request:
        """As `request`, for whole messages, the last one the user's."""
        asked = self.turns(messages, system, style=style, budget=budget, thinking=thinking)
        return self.open(asked, limits)

    def turns(
        self,
        messages: History,
        system: str | None = None,
        *,
        style: Style = "default",
        budget: Budget | None = None,
        thinking: bool | None = None,
    ) -> Request:
        """As `conversation`, its media not opened yet."""
        turns = messages_of(messages)
        if (resolved := self.family.resolve_system(system)) is not None:
            if turns and turns[0].role == "system":
                raise ValueError("the conversation begins with a system message: drop system=…")
            turns = [Message.of("system", resolved), *turns]
        if not turns or turns[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return Request(tuple(turns), budget or Budget(), style, thinking)

    def as_stored(self, style: Style) -> bool:
        """Whether pictures are seen as their files hold them, neither turned nor laid on white."""
        return style == "published" and self.family.entry == "chat"

    def _open_part(self, part: Part, budget: Budget, limits: Limits, as_stored: bool) -> Part:
        if isinstance(part, Image) and not isinstance(part.source, Clip):
            look = open_as_stored if as_stored else open_image
            return Image(look(part.source, limits))
        if isinstance(part, Video) and not isinstance(part.source, Clip):

            def pick(timestamps: Sequence[float], size: Size) -> list[int]:
                return self.pick(timestamps, size, budget)

            return Video(open_video(part.source, pick, limits))
        return part

    def _outline_part(self, part: Part, budget: Budget, limits: Limits, as_stored: bool) -> Part:
        if isinstance(part, Image):
            return Image(Outline(image_size(part.source, limits, as_stored=as_stored)))
        if isinstance(part, Video):
            timestamps, size = probe_video(part.source, limits)
            chosen = self.pick(timestamps, size, budget)
            times = tuple(timestamps[number] for number in chosen)
            frames: Any = (Outline(size),) * len(chosen)
            name = describe_source(part.source)
            return Video(Clip(frames, times, name, timestamps[-1], len(timestamps)))
        return part

    def pick(self, timestamps: Sequence[float], size: Size, budget: Budget) -> list[int]:
        """Frames of a clip that the budget affords."""
        return pick_frames(timestamps, budget, self.plan(size, budget, frame=True).num_tokens)


def lay_out(
    planner: Planner, writer: Writer, request: Request, generate: bool = True
) -> tuple[Tokens, list[Plan]]:
    """Ids and labels of a request in the default style, and the plan of each of its pictures,
    which are open or outlined: no pixel is looked at."""
    budget, chat = planner.budget_of(request), planner.family.chat
    parts = [part for message in request.messages for part in message.parts]
    plans = {id(part): planner.plans(part, budget) for part in parts}

    def write(part: Image | Video) -> str:
        return chat.write(part, [chat.picture(plan.num_tokens) for plan in plans[id(part)]])

    text = writer.text(request.messages, write, generate, request.thinking)
    tokens = writer.tokens(text)
    if generate and request.prefix:
        tokens.add(writer.encode(request.prefix), learn=False)
    return tokens, [plan for part in parts for plan in plans[id(part)]]


def _part(item: MediaSource | Part, limits: Limits) -> Part:
    return item if isinstance(item, (Text, Image, Video, Audio)) else media_part(item, limits)


def messages_of(turns: History) -> list[Message]:
    """Messages from messages, OpenAI-style dicts or (question, answer) pairs."""
    messages: list[Message] = []
    for turn in turns:
        if isinstance(turn, Message):
            messages.append(turn)
        elif isinstance(turn, Mapping):
            messages.append(Message.from_dict(turn))
        else:
            question, answer = turn
            messages += [Message.of("user", question), Message.of("assistant", answer)]
    return messages


def media_part(source: Any, limits: Limits = Limits()) -> Image | Video:
    """The part for a source whose kind shows only in its content; a URL is fetched once."""
    source = localize(source, limits)
    return Image(source) if media_kind(source, limits) == "image" else Video(source)


def pictures_of(part: Part) -> list[Picture]:
    """The pictures of an opened part, in reading order."""
    if isinstance(part, Image):
        return [part.source]
    return list(part.source.frames) if isinstance(part, Video) else []


def budget_from(config: dict[str, Any]) -> Budget:
    """The budget that a preprocessor_config.json sets, by our names or those published."""
    names = {item.name for item in fields(Budget)}
    given = {PUBLISHED_NAMES.get(key, key): value for key, value in config.items()}
    if config.get("use_msac"):
        given["scales"] = 2
    return Budget(**{key: value for key, value in given.items() if key in names and value})
