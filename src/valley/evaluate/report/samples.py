"""Which items a report shows, and their pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal, TypeAlias

from PIL import Image

from valley.evaluate.items import Answer, Item, Scored
from valley.evaluate.report.gathering import Result
from valley.geometry import spread_frames
from valley.media import MediaError, media_kind, open_image, open_video
from valley.types import MediaSource

State: TypeAlias = Literal["right", "partly right", "wrong", "unresolved", "missing"]
#: The items of a benchmark, with their media.
ItemsOf: TypeAlias = Callable[[str], Iterable[Item]]

#: Items shown of a benchmark, pictures of an item, bytes of all pictures.
ITEMS, PICTURES, BYTES = 60, 4, 16_000_000
#: Area of a picture, its longest side, and its bytes.
AREA, SIDE, PICTURE_BYTES = 360 * 270, 960, 24_000
QUALITIES = (75, 50, 25)
#: Characters of a text.
LONGEST = 3000


@dataclass(frozen=True)
class Sample:
    """One item on the page. `answer`: the reply as it came. `pictures`: data URIs; `problem`: why
    some are not there."""

    benchmark: str
    profile: str
    state: State
    scored: Scored
    answer: Answer | None = None
    pictures: tuple[str, ...] = ()
    problem: str = ""

    @property
    def options(self) -> list[tuple[str, str, bool]]:
        """Letter, text, and whether it is the answer."""
        item = self.scored.item
        return [(letter, text, letter == item.answer) for letter, text in item.options.items()]

    @property
    def whole(self) -> str:
        """All that the model wrote, where it wrote more than the reply."""
        raw = self.answer.raw if self.answer else ""
        return raw if raw.strip() != (self.scored.reply or "").strip() else ""

    @property
    def category(self) -> str:
        cells = self.scored.item.cells
        return cells.get("category") or cells.get("l2-category") or ""


def state_of(scored: Scored) -> State:
    if scored.reply is None:
        return "missing"
    if not scored.verdict.resolved:
        return "unresolved"
    if scored.verdict.score in (0, 1):
        return "right" if scored.verdict.score else "wrong"
    return "partly right"


def choose(result: Result, limit: int = ITEMS) -> list[Sample]:
    """At most `limit` items in their order, spread evenly over the states and over the file."""
    states: dict[State, list[int]] = {}
    for row, one in enumerate(result.scored):
        states.setdefault(state_of(one), []).append(row)
    chosen: list[tuple[int, State]] = []
    for left, (state, rows) in enumerate(sorted(states.items(), key=lambda pair: len(pair[1]))):
        share = (limit - len(chosen)) // (len(states) - left)
        picked = spread_frames(len(rows), share) if share else []
        chosen += [(rows[number], state) for number in picked]
    return [
        Sample(*result.key, state, one, result.answers.get(one.item.id))
        for row, state in sorted(chosen)
        for one in [result.scored[row]]
    ]


def with_pictures(samples: Sequence[Sample], items_of: ItemsOf | None) -> list[Sample]:
    """The samples with their pictures made small, as long as they fit in the page.

    Without `items_of` there are none. What cannot be opened is a line of words in its place.
    """
    if items_of is None:
        return list(samples)
    media: dict[tuple[str, str], tuple[MediaSource, ...]] = {}
    for benchmark in sorted({sample.benchmark for sample in samples}):
        wanted = {one.scored.item.id for one in samples if one.benchmark == benchmark}
        media |= {
            (benchmark, item.id): item.media for item in items_of(benchmark) if item.id in wanted
        }
    left, out = BYTES, []
    for sample in samples:
        pictures, problem = _pictures(media.get((sample.benchmark, sample.scored.item.id), ()))
        if (size := sum(map(len, pictures))) > left:
            pictures, problem, size = (), "left out: the page holds no more pictures", 0
        left -= size
        out.append(replace(sample, pictures=pictures, problem=problem))
    return out


def _pictures(media: tuple[MediaSource, ...]) -> tuple[tuple[str, ...], str]:
    try:
        found = tuple(_small(picture) for source in media[:PICTURES] for picture in _open(source))
    except MediaError as error:
        return (), str(error)
    more = len(media) - PICTURES
    return found, f"and {more} more" if more > 0 else ""


def _open(source: MediaSource) -> Sequence[Image.Image]:
    """A picture, or some frames of a clip. Raises MediaError."""
    if media_kind(source) == "image":
        return [open_image(source)]
    return open_video(source, lambda times, size: spread_frames(len(times), PICTURES)).frames


def _small(picture: Image.Image) -> str:
    """A JPEG of a picture as a data URI: small, whatever its ratio of sides."""
    width, height = picture.size
    scale = min(1.0, (AREA / (width * height)) ** 0.5, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small, data = picture.resize(size, Image.Resampling.LANCZOS), b""
    for quality in QUALITIES:
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=quality)
        data = buffer.getvalue()
        if len(data) <= PICTURE_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
