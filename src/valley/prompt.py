"""From messages to text and token ids, and from a reply's text back to its parts.

Torch-free. A conversation is rendered with the checkpoint's own chat template. Control tokens that
occur inside somebody's words stay text: they are marked before rendering and unmarked while
tokenising, so no sentence can open a turn, close one, or stand for a picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from valley.types import Cue, Image, Message, Text, Video

#: A noncharacter of Unicode: never part of real text, so it can mark a literal control token.
_MARK = "\ufdd0"
IGNORE_INDEX = -100

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class ChatFormat:
    """How a line of models writes a conversation.

    `image_open` + one `image_token` per visual token + `image_close` stand for a picture; the
    frames of a clip are pictures joined by `joiner`, as are pictures in a row; `after_media`
    separates leading media from the words that follow. `image_label`, `frame_label`: written
    before each picture where a message has several, and before each frame, `{}` its number.
    `markup`: special tokens that words may hold. `turn_open`, `turn_close`: the tokens
    around a turn; `assistant_header`: what opens the model's own turn after `turn_open`.
    """

    image_token: str
    image_open: str = ""
    image_close: str = ""
    joiner: str = " "
    after_media: str = "\n"
    turn_open: str = "<|im_start|>"
    turn_close: str = "<|im_end|>"
    assistant_header: str = "assistant\n"
    image_label: str = ""
    frame_label: str = ""
    markup: frozenset[str] = frozenset()

    @property
    def structural(self) -> frozenset[str]:
        """Tokens that shape the conversation; nobody's words may contain them as tokens."""
        tokens = (
            self.image_token,
            self.image_open,
            self.image_close,
            self.turn_open,
            self.turn_close,
        )
        return frozenset(token for token in tokens if token)

    def picture(self, num_tokens: int) -> str:
        return self.image_open + self.image_token * num_tokens + self.image_close

    def write(self, part: Image | Video, pictures: Sequence[str]) -> str:
        """What stands for a picture or a clip, by what stands for each of its pictures."""
        if isinstance(part, Video):
            pictures = [self.frame_label.format(i) + p for i, p in enumerate(pictures, 1)]
        return self.joiner.join(pictures)


def escape(text: str, tokens: Collection[str]) -> str:
    """Mark every literal occurrence of `tokens` in `text` so that it is tokenised as text."""
    tokens = sorted(tokens, key=len, reverse=True)
    if not tokens:
        return text
    pattern = re.compile("|".join(map(re.escape, tokens)))
    return pattern.sub(lambda match: match[0][0] + _MARK + match[0][1:], text)


def flatten(
    message: Message,
    chat: ChatFormat,
    pictures: Callable[[Image | Video], str],
    literal: Collection[str] = (),
) -> str:
    """One string for a message: each media part written by `pictures`, the words with every
    token of `literal` escaped."""
    pieces: list[str] = []
    last_was_media = False
    number, several = 0, sum(isinstance(part, Image) for part in message.parts) > 1
    for index, part in enumerate(message.parts):
        if isinstance(part, Text):
            leading = last_was_media and all(not isinstance(p, Text) for p in message.parts[:index])
            if leading and part.text and not part.text.startswith("\n"):
                pieces.append(chat.after_media)
            pieces.append(escape(part.text, literal))
            last_was_media = False
        elif isinstance(part, (Image, Video)):
            if last_was_media:
                pieces.append(chat.joiner)
            if several and isinstance(part, Image):
                pieces.append(chat.image_label.format(number := number + 1))
            pieces.append(pictures(part))
            last_was_media = True
        else:
            raise ValueError(f"these models do not take {type(part).__name__.lower()} input")
    return "".join(pieces)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment.globals["raise_exception"] = raise_exception
    return environment


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


def render(
    template: str,
    messages: Sequence[Mapping[str, str]],
    *,
    generate: bool = True,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Render string messages with a checkpoint's Jinja chat template, in a sandbox.

    `generate` ends the text with the header of the reply to come; `options` are further variables
    of the template, such as `enable_thinking`.
    """
    try:
        return _compiled(template).render(
            messages=list(messages), add_generation_prompt=generate, **(options or {})
        )
    except TemplateError as error:
        raise ValueError(
            f"the checkpoint's chat template refuses this conversation: {error}"
        ) from None


@dataclass(frozen=True)
class Tokens:
    """Ids of a conversation and, per id, whether it is the model's own words (`labels`)."""

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, ids: list[int], learn: bool) -> None:
        self.input_ids.extend(ids)
        self.labels.extend(ids if learn else [IGNORE_INDEX] * len(ids))


def tokenise(text: str, chat: ChatFormat, encode: Encode, specials: Mapping[str, int]) -> Tokens:
    """Token ids of rendered text, with training labels.

    `encode` must treat special tokens as plain text; `specials` maps them to ids. A label is set
    on an assistant turn from after its header up to the next turn, its closing token included.
    """
    tokens = Tokens()
    pattern = re.compile(
        "(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")"
    )
    learn = header = False
    for piece in pattern.split(text):
        if not piece:
            continue
        if piece in specials:
            if piece == chat.turn_open:
                learn, header = False, True
            tokens.add([specials[piece]], learn)
        else:
            piece = piece.replace(_MARK, "")
            if header and piece.startswith(chat.assistant_header):
                tokens.add(encode(chat.assistant_header), False)
                piece, learn = piece[len(chat.assistant_header) :], True
            header = False
            tokens.add(encode(piece) if piece else [], learn)
    return tokens


@dataclass(frozen=True)
class Writer:
    """Writes conversations as ids for one checkpoint.

    `template`: its Jinja chat template. `encode`: ids of words, special tokens taken as plain
    text. `specials`: ids of its special tokens.
    """

    chat: ChatFormat
    template: str | None
    encode: Encode
    specials: Mapping[str, int]

    def text(
        self,
        messages: Sequence[Message],
        pictures: Callable[[Image | Video], str],
        generate: bool = True,
        thinking: bool | None = None,
    ) -> str:
        """The rendered conversation, media parts written by `pictures`."""
        strings = [
            {
                "role": message.role,
                "content": flatten(message, self.chat, pictures, self._literal(message)),
            }
            for message in messages
        ]
        return self.render(strings, generate, thinking)

    def tokens(self, text: str) -> Tokens:
        return tokenise(text, self.chat, self.encode, self.specials)

    def render(
        self, strings: Sequence[Mapping[str, str]], generate: bool, thinking: bool | None
    ) -> str:
        if not self.template:
            raise ValueError("the checkpoint ships no chat template: add chat_template.jinja to it")
        options = {} if thinking is None else {"enable_thinking": thinking}
        if options and "enable_thinking" not in self.template:
            raise ValueError("this checkpoint's chat template has no switch for thinking: drop it")
        return render(self.template, strings, generate=generate, options=options)

    def _literal(self, message: Message) -> Collection[str]:
        """Tokens that are plain text in a message. Only a user's words are foreign: a system
        prompt or an earlier reply may hold tag tokens."""
        if message.role == "user":
            return self.specials.keys() - self.chat.markup
        return self.chat.structural


_THINKING = re.compile(r"^\s*<think>(.*?)(?:</think>|$)", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_STAGE = re.compile(
    r"<(SUMMARY|CAPTION|REASONING|CONCLUSION)>(.*?)(?:</\1>|(?=<(?:CAPTION|REASONING|CONCLUSION)>)|$)",
    re.DOTALL,
)
_CUE = re.compile(r"<vcues_(\d+)>(.*?)</vcues_\1>", re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    text: str
    thinking: str | None
    cues: tuple[Cue, ...]


def parse_reply(raw: str) -> Parsed:
    """Split a reply into what was thought and what is said.

    `<think> … <vcues_N>…</vcues_N> … </think><answer>…</answer>`: the grammar of GThinker
    (Valley2.5 report). Without `<answer>` the text is what follows the thinking; an unfinished
    `<think>` leaves the text empty. `<SUMMARY> <CAPTION> <REASONING> <CONCLUSION>`: the stages of
    Valley2, of which the conclusion is the text.
    """
    if stages := dict(_STAGE.findall(raw)):
        text = stages.pop("CONCLUSION", "")
        thought = "\n\n".join(part.strip() for part in stages.values() if part.strip())
        return Parsed(text.strip(), thought or None, ())
    match = _THINKING.match(raw)
    thinking = match[1].strip() if match else None
    rest = raw[match.end() :] if match else raw
    answer = _ANSWER.search(rest)
    cues = tuple(Cue(int(number), text.strip()) for number, text in _CUE.findall(thinking or ""))
    return Parsed((answer[1] if answer else rest).strip(), thinking or None, cues)
