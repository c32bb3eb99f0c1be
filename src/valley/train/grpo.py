"""Group-relative policy optimisation with verifiable rewards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn

from valley.encoding import Encoded
from valley.prompt import IGNORE_INDEX
from valley.train import ranks
from valley.train.advantages import group_advantages, k3_kl, policy_loss
from valley.train.difficulty import informative
from valley.train.examples import Conversation
from valley.train.preference import original
from valley.train.recipe import GRPO
from valley.train.rewards import Scored, Settings, Truth, score_all, truth_of
from valley.train.rows import Row, make_row
from valley.train.sft import row_log_probs
from valley.train.stream import Loaded, RowMaker, Step
from valley.types import Sample

#: Of prompts and replies that are drawn together, at most, unless one prompt alone has more.
TOKENS = 65_536


@dataclass(frozen=True)
class Prompts:
    """What a rank draws replies to; in place of a row until they are drawn."""

    loaded: Sequence[Loaded]

    def to(self, device: torch.device | str) -> Prompts:
        return self  # replies are drawn to what is not packed yet

    @property
    def tokens(self) -> int:
        return sum(len(item.conversations[0].input_ids) for item in self.loaded)

    @property
    def pictures(self) -> int:
        return sum(len(item.conversations[0].plans) for item in self.loaded)


@dataclass(frozen=True)
class Drawn:
    """A row of replies with the advantage `[1, T]` of each of their tokens, and the
    log-probabilities that the policy which drew them and the reference give them."""

    row: Row
    advantages: Tensor
    before: Tensor | None
    reference: Tensor | None

    @property
    def tokens(self) -> int:
        return self.row.tokens

    @property
    def pictures(self) -> int:
        return self.row.pictures

    def to(self, device: torch.device | str) -> Drawn:
        return self  # it was made there


@dataclass(frozen=True)
class Reply:
    """Ids of a reply to a prompt, its reward, and how much better it is than its group."""

    prompt: Encoded
    ids: list[int]
    scored: Scored
    advantage: float = 0.0

    def conversation(self) -> Encoded:
        """The prompt with the reply, whose tokens are the targets."""
        targets = [IGNORE_INDEX] * len(self.prompt.input_ids) + self.ids
        return replace(self.prompt, input_ids=self.prompt.input_ids + self.ids, labels=targets)


@dataclass(frozen=True)
class Group:
    """The replies to the prompt at a position of the stream."""

    position: int
    replies: tuple[Reply, ...]

    @property
    def rewards(self) -> list[float]:
        return [reply.scored.total for reply in self.replies]


class Reinforcing:
    """Draws a group of replies to every prompt, rewards them, and learns from the differences.
    Groups without differences are left out, and the next prompts of the stream take their place.

    The replies of one step serve `iterations` steps. reference: as in `Preferring`, only for `kl`.
    """

    def __init__(self, recipe: GRPO, make: RowMaker, reference: nn.Module | None) -> None:
        self.recipe, self.make, self.reference = recipe, make, reference
        self.settings = Settings(accuracy_weight=recipe.accuracy_weight)
        self._turn = 0
        self._rows: tuple[Drawn, ...] = ()
        self._sums: dict[str, float] = defaultdict(float)

    def prepare(self, model: nn.Module, step: Step, later: Iterator[Step]) -> Step:
        if self._turn % self.recipe.iterations == 0:
            groups, step = self._groups(model, step, later)
            replies = self._advantages(groups)
            self._rows = tuple(self._drawn(model, rows) for rows in self._rows_of(replies))
        self._turn += 1
        return replace(step, rows=self._rows)

    def weight(self, step: Step) -> float:
        return float(sum((drawn.row.labels != IGNORE_INDEX).sum() for drawn in step.rows))

    def loss(self, model: nn.Module, row: Drawn) -> Tensor:
        recipe, asked = self.recipe, row.row.labels != IGNORE_INDEX
        told = row_log_probs(model, row.row)
        before = told.detach() if row.before is None else row.before
        bounds = {"low": recipe.clip_low, "high": recipe.clip_high, "dual": recipe.dual}
        loss = policy_loss(told, before, row.advantages, **bounds)
        if row.reference is not None:
            loss = loss + recipe.kl * k3_kl(told, row.reference)
        return (loss * asked).sum()

    def measure(self, model: nn.Module, row: Prompts) -> dict[str, float]:
        """Of one greedy reply to each prompt."""
        groups = self._draw(model, row.loaded, greedy=True)
        found = [reply.scored for group in groups for reply in group.replies]
        return {
            "reward": sum(scored.total for scored in found),
            "accuracy": sum(scored.accuracy for scored in found),
            "format": sum(scored.format for scored in found),
            "weight": len(found),
        }

    def metrics(self) -> dict[str, float]:
        sums = ranks.summed(self._sums)
        self._sums.clear()
        replies, groups = sums.pop("replies", 0), sums.pop("groups", 0)
        discarded = sums.pop("discarded", 0)
        found = {name: total / max(1, replies) for name, total in sums.items()}
        return found | {"discarded": discarded / max(1, groups)}

    def state_dict(self) -> dict[str, Any]:
        return {"turn": self._turn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._turn = state["turn"]

    def _groups(
        self, model: nn.Module, step: Step, later: Iterator[Step]
    ) -> tuple[list[Group], Step]:
        """The groups that something is learnt from, and the last step that was taken for them."""
        wanted = step.samples
        groups = self._kept(self._draw(model, prompts_of(step)), wanted)
        for _ in range(self.recipe.redraw):
            missing = wanted - sum(ranks.gathered(len(groups)))
            # Every step comes `iterations` times.
            if not missing or not (following := list(islice(later, self.recipe.iterations))):
                break
            step = following[-1]
            groups += self._kept(self._draw(model, prompts_of(step)), missing)
        return groups, step

    def _kept(self, groups: list[Group], most: int) -> list[Group]:
        """Of this rank's new groups those with something to learn, the first `most` of all ranks
        in the order of the stream."""
        self._note(groups)
        if not self.recipe.discard:
            return groups
        totals = [group.rewards for group in groups]
        kept = [groups[i] for i in informative(totals, best=1 + self.recipe.accuracy_weight)]
        self._sums["discarded"] += len(groups) - len(kept)
        places = [group.position for group in kept]
        first = sorted(chain.from_iterable(ranks.gathered(places)))[:most]
        return [group for group in kept if group.position in first]

    @torch.no_grad()
    def _draw(
        self, model: nn.Module, prompts: Sequence[Loaded], greedy: bool = False
    ) -> list[Group]:
        """A group of rewarded replies for each prompt, or only the greedy one."""
        model.eval()
        batches = batches_of([item.conversations[0] for item in prompts], self.recipe)
        drawn = [
            ids
            for batch in batches
            for ids in draw_replies(model, self.make, batch, self.recipe, greedy)
        ]
        if self.recipe.shard:  # ranks gather weights together: all draw equally often
            for _ in range(max(ranks.gathered(len(batches))) - len(batches)):
                draw_replies(model, self.make, [self.make.blank()], self.recipe, greedy)
        return [self._scored(*both) for both in zip(prompts, drawn, strict=True)]

    def _scored(self, prompt: Loaded, replies: Sequence[list[int]]) -> Group:
        domain, truth = truth_in(prompt.sample)
        texts = [self.make.encoder.decode_reply(ids) for ids in replies]
        scored = score_all([(domain, text, truth) for text in texts], self.settings)
        said = prompt.conversations[0]
        return Group(
            prompt.position,
            tuple(Reply(said, *both) for both in zip(replies, scored, strict=True)),
        )

    def _advantages(self, groups: Sequence[Group]) -> list[Reply]:
        """The replies of all groups with their advantages."""
        if not groups:
            return []
        rewards = torch.tensor([group.rewards for group in groups])
        found = group_advantages(rewards, unbiased=self.recipe.unbiased).tolist()
        return [
            replace(reply, advantage=advantage)
            for group, row in zip(groups, found, strict=True)
            for reply, advantage in zip(group.replies, row, strict=True)
        ]

    def _rows_of(self, replies: Sequence[Reply]) -> list[list[Reply]]:
        """Replies in rows of at most `sequence` tokens; every rank has equally many rows."""
        rows: list[list[Reply]] = []
        room = 0
        for reply in replies:
            length = len(reply.prompt.input_ids) + len(reply.ids)
            if length > room:
                rows.append([])
                room = self.recipe.sequence
            rows[-1].append(reply)
            room -= length
        most = max(1, *ranks.gathered(len(rows)))
        return rows + [[] for _ in range(most - len(rows))]

    @torch.no_grad()
    def _drawn(self, model: nn.Module, replies: Sequence[Reply]) -> Drawn:
        device = next(model.parameters()).device
        conversations = [reply.conversation() for reply in replies] or [self.make.blank()]
        row = make_row(conversations, unseen=self.make.unseen).to(device)
        each = torch.tensor([reply.advantage for reply in replies] or [0.0], device=device)
        before = row_log_probs(model, row) if self.recipe.iterations > 1 else None
        reference = None
        if self.recipe.kl:
            with original(model, self.reference) as first:
                reference = row_log_probs(first, row)
        return Drawn(row, each[row.owner], before, reference)

    def _note(self, groups: Sequence[Group]) -> None:
        self._sums["groups"] += len(groups)
        for reply in chain.from_iterable(group.replies for group in groups):
            self._sums["replies"] += 1
            self._sums["reward"] += reply.scored.total
            self._sums["accuracy"] += reply.scored.accuracy
            self._sums["format"] += reply.scored.format
            self._sums["reply_tokens"] += len(reply.ids)


def prompts_of(step: Step) -> list[Loaded]:
    return [item for row in step.rows for item in row.loaded]


def batches_of(prompts: Sequence[Encoded], recipe: GRPO) -> list[list[Encoded]]:
    """Prompts that are drawn together: those that follow one another, as many as have room."""
    batches: list[list[Encoded]] = []
    longest = 0
    for prompt in prompts:
        longest = max(longest, len(prompt.input_ids))
        number = len(batches[-1]) + 1 if batches else 0
        if not batches or number * recipe.group * (longest + recipe.reply) > TOKENS:
            batches.append([])
            longest = len(prompt.input_ids)
        batches[-1].append(prompt)
    return batches


def draw_replies(
    model: nn.Module,
    make: RowMaker,
    prompts: Sequence[Encoded],
    recipe: GRPO,
    greedy: bool = False,
) -> list[list[list[int]]]:
    """For each prompt the ids of `group` sampled replies or one greedy one, each with its end token
    if it has ended."""
    bare: Any = getattr(model, "module", model)
    encoder, device = make.encoder, next(model.parameters()).device
    inputs: dict[str, Any] = dict(encoder.collate(prompts).to(device))
    if make.unseen and not any(prompt.plans for prompt in prompts):
        inputs["unseen_pictures"] = {name: some.to(device) for name, some in make.unseen.items()}
    end = encoder.tokenizer.convert_tokens_to_ids(encoder.chat.turn_close)
    number = 1 if greedy else recipe.group
    output = bare.generate(
        **inputs,
        do_sample=not greedy,
        temperature=None if greedy else recipe.temperature,
        top_p=None if greedy else recipe.top_p,
        top_k=None if greedy else 0,
        repetition_penalty=1.0,
        max_new_tokens=recipe.reply,
        # In a row it would stand for a picture that is not there.
        suppress_tokens=[bare.config.image_token_id],
        num_return_sequences=number,
        eos_token_id=end,
        pad_token_id=end,
    )
    replies = output[:, inputs["input_ids"].shape[1] :].tolist()
    ended = [ids[: ids.index(end) + 1] if end in ids else ids for ids in replies]
    return [ended[start : start + number] for start in range(0, len(ended), number)]


def prompt_only(sample: Sample) -> Sequence[Conversation]:
    """The conversation up to the last user's turn, if its reply can be rewarded."""
    truth_in(sample)
    turns = sample.messages
    while turns and turns[-1].role == "assistant":
        turns = turns[:-1]
    if not turns:
        raise ValueError("there is no user's turn to answer")
    return [turns]


def truth_in(sample: Sample) -> tuple[str, Truth]:
    """The domain and the truth of a sample, from `meta`: `domain`, `answer`, and maybe `kind`.

    Raises ValueError where they are missing or no reward exists for them.
    """
    meta = sample.meta
    if missing := [name for name in ("domain", "answer") if meta.get(name) in (None, "")]:
        raise ValueError(f"meta has no {' and no '.join(missing)}: a reward needs both")
    answer = meta["answer"]
    return meta["domain"], truth_of(
        meta["domain"], Truth(meta["kind"], answer) if "kind" in meta else answer
    )
