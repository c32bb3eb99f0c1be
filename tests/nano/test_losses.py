"""What teaches nano: marks, alignment, told pictures and answers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoTokenizer

from valley.data.synthetic.cards import card_sample
from valley.data.synthetic.clips import clip
from valley.data.synthetic.sample import CHARS, MARK_SLOTS, Turn
from valley.data.synthetic.shapes import shape_scene
from valley.data.synthetic.words import word_strip
from valley.model.files import NANO
from valley.model.modeling import Valley2_5ForConditionalGeneration
from valley.nano.batches import OPENING, Group, blocks_at, collate
from valley.nano.codes import HALVES
from valley.nano.looks import (
    COMPARING_LAYER,
    MANY,
    POINTING_LAYER,
    SPELLING_LAYERS,
    begin_to_copy,
    look_scores,
    looks_right,
    shown_to,
    spelling_head,
    taught_looks,
)
from valley.nano.losses import (
    MARK_CLASSES,
    NOISE,
    SHIFT_WEIGHT,
    MarkHead,
    Trainer,
    answers_right,
    distances,
)
from valley.nano.shape import attend_to_neighbours, nano_config
from valley.nano.stages import STAGES, UNSURE, Stage, Tally, group_loss
from valley.processing import ValleyProcessor

NAMES = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|image_pad|>"),
    *("<im_start>", "<im_end>", "user", "\n", " "),
)


@pytest.fixture(scope="module")
def ids() -> dict[str, int]:
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    return {name: tokenizer.encode(name)[0] for name in NAMES}


@pytest.fixture(scope="module")
def trainer(ids: dict[str, int]) -> Trainer:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    return Trainer(Valley2_5ForConditionalGeneration(nano_config(len(tokenizer), ids)).float())


def group_of(kind: str, grid: tuple[int, int] = (3, 3), number: int = 3) -> Group:
    draw = {
        "word": word_strip,
        "shape": partial(shape_scene, questions=2),
        "clip": partial(clip, frames=2, questions=1),
    }[kind]
    rng = np.random.default_rng(4)
    samples = [draw(rng, grid) for _ in range(number)]
    return collate(AutoTokenizer.from_pretrained(Path(NANO)), kind, grid, samples)


def test_the_head_is_right_when_it_says_what_the_marks_say() -> None:
    group = group_of("shape")
    marks = group.marks.view(3, -1, MARK_SLOTS)
    head = MarkHead(192)
    worst = head(torch.randn(3, 36, 192), marks, group.grid)
    start = 0
    outputs = torch.zeros(3, 36, sum(MARK_CLASSES) + 2)
    for slot, classes in enumerate(MARK_CLASSES):
        outputs[..., start : start + classes].scatter_(-1, marks[..., slot, None].long(), 30.0)
        start += classes
    head.linear = torch.nn.Identity()
    head.norm = torch.nn.Identity()
    best = head(outputs, marks, group.grid)
    shapes = float((marks[..., 2] > 0).sum())
    assert best.right["kind"] == best.right["colour"] == (shapes, shapes)
    # Only places, which the outputs all put in the middle, are still wrong.
    assert best.loss < worst.loss
    assert best.right["place"][0] > 0
    assert worst.right["kind"][0] < shapes


def test_what_tells_characters_apart_is_read_off_the_head() -> None:
    head = MarkHead(192)
    with torch.no_grad():
        head.norm.weight.fill_(2.0)
    readings = head.readings()
    assert readings.shape == (len(CHARS), 2 * 192)
    right = 1 + len(CHARS)  # the second mark's classes come after those of the first
    torch.testing.assert_close(readings[4, :192], 2 * head.linear.weight[5])
    torch.testing.assert_close(readings[4, 192:], 2 * head.linear.weight[right + 5])


def test_tokens_are_miswritten_by_their_distance_from_codes(trainer: Trainer) -> None:
    group = group_of("word", (1, 4), 3)
    exact = trainer.codes(trainer.marks(group, "cpu"), group.grid)
    near, figures = trainer.miswritten(exact, group, "cpu")
    assert figures["align"][0] == 0
    far, figures = trainer.miswritten(exact + 0.1, group, "cpu")
    blocks = float((exact != trainer.codes.ground).any(-1).sum())
    assert float(figures["align"][0]) == pytest.approx(256 * 0.01 * blocks, rel=1e-3)
    assert far > near + 2


def gradients(stage: Stage, trainer: Trainer, ids: dict[str, int]) -> tuple[float, float, float]:
    """Of a word's loss in a stage: in the tower, the connector and the decoder."""
    parts = (
        trainer.model.model.vision_tower.patch_embed.proj.weight,
        trainer.model.model.vision_connector.mlp[2].weight,
        trainer.model.model.language_model.layers[0].mlp.down_proj.weight,
    )
    trainer.zero_grad()
    group_loss(stage, 0.5, trainer, group_of("word", (1, 4)), ids, "cpu", Tally()).backward()
    return tuple(0.0 if p.grad is None else float(p.grad.norm()) for p in parts)


def test_writing_is_learnt_beside_the_tower_until_all_are_asked(
    trainer: Trainer, ids: dict[str, int]
) -> None:
    see, look, tell, *later = (gradients(stage, trainer, ids) for stage in STAGES.values())
    assert [bool(g) for g in see] == [True, False, False]
    assert [bool(g) for g in look] == [True, True, False]
    assert look[0] == pytest.approx(see[0], rel=1e-4)
    assert [bool(g) for g in tell] == [False, False, True]
    assert all(bool(g) for stage in later for g in stage)


def test_the_last_stage_learns_from_answers_alone(trainer: Trainer, ids: dict[str, int]) -> None:
    """Its loss needs nothing that is not part of the shipped model."""
    readers = (trainer.head, trainer.pointer, trainer.comparer, trainer.counter)
    for kind in ("word", "shape"):
        trainer.zero_grad()
        group = group_of(kind)
        group_loss(STAGES["settle"], 0.5, trainer, group, ids, "cpu", Tally()).backward()
        assert all(p.grad is None for reader in readers for p in reader.parameters())
    trainer.zero_grad()
    group_loss(STAGES["ask"], 0.5, trainer, group, ids, "cpu", Tally()).backward()
    assert any(p.grad is not None for p in trainer.comparer.parameters())


def test_what_is_told_grows_unsure(
    trainer: Trainer, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    tell = Trainer.tell

    def noted(self: Trainer, group: Group, device: str, unsure: float = 0.0) -> torch.Tensor:
        told.append(unsure)
        return tell(self, group, device, unsure)

    monkeypatch.setattr(Trainer, "tell", noted)
    for progress in (0.0, UNSURE[0], sum(UNSURE) / 2, UNSURE[1], 1.0):
        group_loss(STAGES["tell"], progress, trainer, group_of("word", (1, 4)), ids, "cpu", Tally())
    assert told == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_told_pictures_do_not_depend_on_pixels(trainer: Trainer, ids: dict[str, int]) -> None:
    group = group_of("clip", number=2)
    torch.manual_seed(1)
    told = trainer.tell(group, "cpu")
    assert told.shape == (4, 9, 256)
    exact = trainer.codes(group.marks.view(4, -1, MARK_SLOTS), group.grid)
    assert 0.9 * NOISE < float((told - exact).std()) < 1.1 * NOISE
    unsure = trainer.tell(group, "cpu", 1.0) - exact
    blank = (exact == trainer.codes.ground).all(-1)
    assert float(unsure[~blank].std()) > 2 * float(unsure[blank].std())
    group.pixels = torch.zeros_like(group.pixels)
    torch.manual_seed(1)
    assert torch.equal(trainer.tell(group, "cpu"), told)
    loss, figures = trainer.answer(told, group, ids, "cpu")
    missed, compared = figures["shift"]
    loss = loss - SHIFT_WEIGHT * missed / max(1, int(compared))
    # About the logarithm of the vocabulary, and half that of the sequence's length for each look.
    assert 5 < float(loss.detach()) < 30
    assert figures["answers"] == (0, 2)


def test_the_trainers_tokens_are_those_of_the_model(trainer: Trainer, ids: dict[str, int]) -> None:
    """Dense pictures in training give the embeddings that the packed form gives in use."""
    group = group_of("word", (1, 4), 1)
    processor = ValleyProcessor.from_pretrained(NANO)
    picture = group.pixels[0, 0].numpy()
    with torch.no_grad():
        tokens = trainer.write(trainer.look(group, "cpu")[0])
        batch = processor(
            text="<|image_pad|>", images=[picture], min_pixels=28 * 28, return_tensors="pt"
        )
        features = trainer.model.model.get_image_features(
            batch["pixel_values"], image_grid_thw=batch["image_grid_thw"]
        )
    torch.testing.assert_close(tokens[0], features.pooler_output[0], atol=1e-4, rtol=1e-4)
    shown = trainer.embed(tokens[None, :1], ids, group.after)
    assert shown.shape[1] == 3 + 1 + 4 + 1 + group.after.shape[1]
    torch.testing.assert_close(shown[0, 4:8], tokens[0])


def test_names_are_taught_to_look_at_their_things(trainer: Trainer, ids: dict[str, int]) -> None:
    """The scores are those of the pointing head, and learning them moves its queries and keys."""
    group = group_of("shape")
    named = ~group.places[..., 0].isnan()
    assert named.any()
    seen: list[torch.Tensor] = []
    attention = trainer.model.model.language_model.layers[POINTING_LAYER].self_attn
    hook = attention.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
    )
    tokens = trainer.tell(group, "cpu")
    trainer.zero_grad()
    loss, figures = trainer.answer(tokens, group, ids, "cpu")
    hook.remove()
    loss.backward()
    assert int(figures["pointing"][1]) == int(named.sum())
    assert int(figures["misplaced"][1]) == int(named.sum())
    assert attention.q_proj.weight.grad[: attention.head_dim].norm() > 0
    embedded = trainer.embed(tokens[:, None], ids, group.after)
    (look,) = [look for look in taught_looks(group) if look.name == "pointing"]
    with torch.no_grad():
        states = trainer.model.model.language_model(
            inputs_embeds=embedded, output_hidden_states=True
        ).hidden_states
        (looks,) = look_scores(trainer.model.model.language_model, states, [look])
    assert looks.shape == (int(named.sum()), embedded.shape[1])
    # Nothing looks ahead.
    first = int(named.nonzero()[0, 1]) + embedded.shape[1] - group.after.shape[1]
    assert (looks[0, first + 1 :] < -1e30).all()
    assert looks[0, : first + 1].isfinite().all()


def test_heads_that_find_a_character_say_it_from_the_first(ids: dict[str, int]) -> None:
    """Each of eight heads reads the character of its half of a block, whatever the others hold."""
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    trainer = Trainer(Valley2_5ForConditionalGeneration(nano_config(len(tokenizer), ids)))
    begin_to_copy(trainer.model.model.language_model, trainer.codes)
    codes, generator = trainer.codes, torch.Generator().manual_seed(0)
    chars = torch.randint(len(CHARS), (HALVES,), generator=generator)
    shown = codes.chars[torch.arange(HALVES), 1 + chars].sum(0)
    for half, char in enumerate(chars):
        layer, head = spelling_head(half)
        attention = trainer.model.model.language_model.layers[layer].self_attn
        shared = attention.num_key_value_groups
        value = attention.v_proj(shown).unflatten(0, (-1, attention.head_dim))[head // shared]
        outputs = attention.o_proj.weight.unflatten(1, (-1, attention.head_dim))[:, head]
        said = codes.alphabet @ codes.words @ (outputs @ value)
        assert said.argmax() == char
    thing, other = torch.tensor([0.25, -0.5]), torch.tensor([-0.25, 0.25])
    attention = trainer.model.model.language_model.layers[COMPARING_LAYER].self_attn
    outputs = attention.o_proj.weight.unflatten(1, (-1, attention.head_dim))
    values = [attention.v_proj(xy @ codes.axes)[: attention.head_dim] for xy in (thing, other)]
    told = sum(outputs[:, head] @ value for head, value in enumerate(values))
    directions = F.normalize(codes.axes, dim=-1)
    shift = F.normalize(directions @ told, dim=0)
    torch.testing.assert_close(shift, F.normalize(thing - other, dim=0), atol=0.1, rtol=0.0)


@pytest.mark.parametrize("draw", [word_strip, partial(card_sample, questions=4)])
def test_each_character_of_an_answer_stands_where_it_is_said_to(draw: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    samples = [draw(np.random.default_rng(i), (4, 6)) for i in range(12)]
    group = collate(tokenizer, "card", (4, 6), samples)
    asked = (group.spelled >= 0).nonzero().tolist()
    assert len(asked) > 40
    halves = group.marks[..., :2].flatten(1)
    for row, position in asked:
        shown = CHARS[int(halves[row, group.spelled[row, position]]) - 1]
        assert tokenizer.decode(group.labels[row, position + 1]) == shown


def test_characters_are_looked_for_where_they_stand(trainer: Trainer, ids: dict[str, int]) -> None:
    """Heads that spell look at every character, and else nowhere; its number is taught beside."""
    group = group_of("word", (1, 9))
    spelled, said = int((group.spelled >= 0).sum()), int((group.labels >= 0).sum())
    assert said > spelled > 5
    looks = [look for look in taught_looks(group) if look.name == "spelling"]
    assert sum(int((look.tokens > 0).sum()) for look in looks) == spelled
    trainer.zero_grad()
    loss, figures = trainer.answer(trainer.tell(group, "cpu"), group, ids, "cpu")
    loss.backward()
    assert int(figures["spelling"][1]) == said * HALVES
    assert int(figures["counting"][1]) == spelled
    for layer in SPELLING_LAYERS:
        attention = trainer.model.model.language_model.layers[layer].self_attn
        heads = attention.q_proj.weight.grad.unflatten(0, (-1, attention.head_dim))
        assert (heads.norm(dim=(1, 2)) > 0).all()
    assert trainer.counter[1].weight.grad.norm() > 0


def test_things_lie_in_the_block_of_their_centre() -> None:
    places = torch.tensor([[-0.5, -0.5], [0.1, 0.1], [0.5, 0.5]])
    assert blocks_at(places, (2, 4)).tolist() == [0, 6, 7]


def test_what_is_told_is_wrong_by_its_distance() -> None:
    wanted = torch.full((3, 5, 2), torch.nan)
    wanted[1, 2] = torch.tensor([0.25, -0.5])
    states = torch.zeros(3, 5, 2)
    states[1, 2] = torch.tensor([0.5, 0.0])
    torch.testing.assert_close(distances(torch.nn.Identity(), states, wanted), torch.tensor([0.75]))


def test_shifts_are_told_where_answers_begin(trainer: Trainer, ids: dict[str, int]) -> None:
    """Comparing is learnt for each question of a clip that hangs on it, before the last layer."""
    samples = [clip(np.random.default_rng(i), (3, 3), 4) for i in range(3)]
    group = collate(AutoTokenizer.from_pretrained(NANO), "clip", (3, 3), samples)
    known = ~group.shifts[..., 0].isnan()
    turns = [turn for sample in samples for turn in sample.dialog]
    assert int(known.sum()) == sum(turn.shift is not None for turn in turns)
    # The next token is the first of an answer.
    follows = torch.roll(known, 1, dims=1)
    assert bool((group.labels[follows] >= 0).all())
    assert bool((group.labels[known] == -100).all())
    trainer.zero_grad()
    loss, figures = trainer.answer(trainer.tell(group, "cpu"), group, ids, "cpu")
    loss.backward()
    assert int(figures["shift"][1]) == int(known.sum())
    assert int(figures["comparing"][1]) == 2 * int(known.sum())
    assert trainer.comparer[1].weight.grad.norm() > 0


def test_a_shift_lies_between_what_two_tokens_name() -> None:
    draw = partial(shape_scene, questions=4)
    samples = [draw(np.random.default_rng(i), (3, 4)) for i in range(12)]
    group = collate(AutoTokenizer.from_pretrained(NANO), "shape", (3, 4), samples)
    known = ~group.shifts[..., 0].isnan()
    assert known.sum() > 5
    assert torch.equal(known, group.compared[..., 0] >= 0)
    before = OPENING + 3 * 4 + 1
    for row, position in known.nonzero().tolist():
        thing, other = group.places[row][group.compared[row, position] - before]
        torch.testing.assert_close(thing - other, group.shifts[row, position])


def test_a_shift_lies_between_the_first_and_the_last_frame(
    trainer: Trainer, ids: dict[str, int]
) -> None:
    samples = [clip(np.random.default_rng(i), (3, 3), 4, others=(0,)) for i in range(6)]
    group = collate(AutoTokenizer.from_pretrained(NANO), "clip", (3, 3), samples)
    exact = trainer.codes(trainer.marks(group, "cpu"), group.grid).unflatten(0, (6, 4))
    sequence = trainer.embed(exact, ids, group.after)
    for row, position in (group.compared[..., 0] >= 0).nonzero().tolist():
        for frame, token in zip((3, 0), group.compared[row, position].tolist(), strict=True):
            shown = exact[row, frame]
            (held,) = (shown != trainer.codes.ground).any(-1).nonzero()[0]
            torch.testing.assert_close(sequence[row, token], shown[held])


@pytest.mark.parametrize(
    ("kind", "frames", "draw"),
    [
        ("shape", 1, partial(shape_scene, questions=6)),
        ("clip", 4, partial(clip, frames=4, questions=4)),
    ],
)
def test_what_is_counted_found_or_named_is_looked_at(kind: str, frames: int, draw: Any) -> None:
    """Evenly at the blocks of the last frame that show it and at the first token."""
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    samples = [draw(np.random.default_rng(i), (3, 4)) for i in range(10)]
    group = collate(tokenizer, kind, (3, 4), samples)
    weights = shown_to(group)
    turns = [turn for sample in samples for turn in sample.dialog if turn.about is not None]
    lengths = [1] * len(turns)
    if frames > 1:
        lengths = [len(tokenizer.encode(f"{turn.answer}<|im_end|>")) for turn in turns]
    assert len(weights) == int(group.naming.sum()) == sum(lengths) > 20
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    last, first = 4 + (frames - 1) * (12 + 3), 0
    for turn, length in zip(turns, lengths, strict=True):
        number = len(turn.about)
        torch.testing.assert_close(
            weights[first : first + length, 0], torch.full((length,), 1 / (number + 1))
        )
        at = last + blocks_at(torch.tensor(turn.about).view(-1, 2), (3, 4))
        assert set(weights[first].nonzero()[:, 0].tolist()) == {0, *at.tolist()}
        if turn.answer.isdigit():
            assert int(turn.answer) == number
        share = shown_to(group, MANY)[first, 1:].sum()
        torch.testing.assert_close(share, torch.tensor(number / (number + MANY)))
        first += length


def test_answers_look_at_the_word_by_which_shapes_are_asked_for() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    scene = [("star", "red", 10.0, 10.0), ("ring", "blue", 70.0, 60.0)]
    sample = shape_scene(np.random.default_rng(0), (3, 4))
    for question, answer, word in (
        ("What color is the star?", "Red", " star"),
        ("Which shape is blue?", "Ring", " blue"),
        ("How many red shapes are in the picture?", "1", " shapes"),
        ("Count the crosses.", "0", " crosses"),
    ):
        about = tuple(thing[2:] for thing in scene[: int(answer != "0")])
        sample.dialog = [Turn(question, answer, about=about)]
        group = collate(tokenizer, "shape", (3, 4), [sample])
        (asked,) = group.naming[0].nonzero()[:, 0].tolist()
        assert tokenizer.decode(group.after[0, asked]) == word
        telling = group.told[0] >= 0
        assert torch.equal(telling[:-1], group.labels[0, 1:] >= 0)
        assert set(group.told[0, telling].tolist()) == {OPENING + 3 * 4 + 1 + asked}


def test_names_find_what_they_name_from_the_first_step(ids: dict[str, int]) -> None:
    """As far as the last word tells: no layer could add the colour before it yet."""
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO))
    torch.manual_seed(0)
    trainer = Trainer(Valley2_5ForConditionalGeneration(nano_config(len(tokenizer), ids)))
    decoder = trainer.model.model.language_model
    for layer in decoder.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    trainer.codes.name(decoder.embed_tokens, tokenizer)
    draw = partial(shape_scene, number=2, questions=4)
    samples = [draw(np.random.default_rng(i), (3, 4)) for i in range(24)]
    group = collate(tokenizer, "shape", (3, 4), samples)
    tokens = trainer.tell(group, "cpu").unflatten(0, (24, 1))
    (look,) = [look for look in taught_looks(group) if look.name == "pointing"]

    def found() -> float:
        with torch.no_grad():
            states = decoder(
                inputs_embeds=trainer.embed(tokens, ids, group.after),
                output_hidden_states=True,
                use_cache=False,
            ).hidden_states
            (scores,) = look_scores(decoder, states, [look])
        return float(looks_right(scores, look.tokens).mean())

    assert len(look.tokens) > 20
    before = found()
    begin_to_copy(decoder, trainer.codes)
    assert before < 0.2 < 0.4 < found()


def test_a_look_at_many_things_is_right_where_it_is_even() -> None:
    scores = torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
    assert looks_right(scores, torch.tensor([1, 2, 0])).tolist() == [1.0, 0.0, 1.0]
    weights = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    assert 0.5 < float(looks_right(scores, weights)[0]) < 0.6
    evenly = looks_right(torch.tensor([[0.0, 0.0, -9.0]]), weights[:1])
    torch.testing.assert_close(evenly, torch.ones(1), atol=1e-3, rtol=0.0)


def test_answers_are_right_as_a_whole() -> None:
    asked = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0]]).bool()
    same = torch.ones_like(asked)
    assert answers_right(same, asked) == (4.0, 4.0)
    same[0, 1] = False
    assert answers_right(same, asked) == (3.0, 4.0)
    same[0, 2] = False
    assert answers_right(same, asked) == (3.0, 4.0)
    same[1, 4] = False
    assert answers_right(same, asked) == (2.0, 4.0)


def test_heads_begin_by_looking_at_their_neighbours(trainer: Trainer) -> None:
    tower = trainer.model.model.vision_tower
    attend_to_neighbours(tower)
    block = tower.blocks[0]
    assert not block.attn.qkv.bias.view(3, -1)[2].any()
    seen: list[torch.Tensor] = []

    def spy(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        seen.append((q @ k.transpose(-1, -2)).argmax(-1))
        return v

    group = group_of("shape")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valley.nano.losses.attend", spy)
        group.pixels.fill_(128)
        trainer.features(group, "cpu")
    # Patches stand in the order of 2x2 blocks, three blocks in a row: patch 3 is the lower right
    # one of the first block.
    assert [int(seen[0][0, head, 3]) for head in range(5)] == [3, 2, 6, 1, 13]
    # In the upper half two look along the row and along the column, towards the edge: patch 8 is
    # the upper left one of the last block of the first row, patch 32 of the last block of all.
    upper = [[int(seen[len(seen) // 2][0, head, patch]) for head in range(5)] for patch in (8, 32)]
    assert [row[:3] for row in upper] == [[8, 5, 9], [32, 29, 33]]
    assert upper[0][3] in (0, 1, 4, 5)
    assert upper[1][4] in (8, 10, 20, 22)
