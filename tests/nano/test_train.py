"""Training runs, stops, continues bit-equal, and writes a checkpoint that loads and answers."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from valley.chat import load
from valley.data.synthetic.cards import card_sample
from valley.data.synthetic.clips import clip
from valley.data.synthetic.shapes import shape_scene
from valley.data.synthetic.words import word_strip
from valley.model.checkpoint import inspect
from valley.nano import batches, plans, train
from valley.nano.codes import Codes
from valley.nano.losses import MarkHead
from valley.nano.measure import Item, accuracy, ask_all, grey, markdown
from valley.nano.plans import Plan
from valley.nano.stages import ANSWER_WEIGHTS, ROUNDS, SAYS, SEES, STAGES, WRITES, rate_at
from valley.nano.tokenizer import write_tokenizer


def small_plan(rng: Any, progress: float) -> Plan:
    return [
        ("word", word_strip, (1, 4), 2),
        ("clip", lambda rng, grid: clip(rng, grid, 2), (2, 2), 1),
        ("card", card_sample, (4, 3), 1),
        ("shape", lambda rng, grid: shape_scene(rng, grid, number=3), (3, 3), 1),
    ]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains with the given options in this process, four steps a stage."""
    small = {s.name: replace(s, plan=small_plan, steps=4, warmup=2) for s in STAGES.values()}
    monkeypatch.setattr(train, "STAGES", small)
    threads = torch.get_num_threads()

    def start(folder: Path, *options: str) -> Path:
        arguments = ["--out", str(folder / "out"), "--work", str(folder / "work")]
        fixed = ["--processes", "1", "--threads", "1", "--workers", "0", "--log-every", "1"]
        monkeypatch.setattr(sys, "argv", ["train", *arguments, *fixed, *options])
        train.main()
        return folder / "out"

    yield start
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def test_a_stopped_run_continues_bit_equal(run: Any, tmp_path: Path) -> None:
    half = "--share", "0.5"
    straight = run(tmp_path / "a", *half)
    for stage in STAGES:
        run(tmp_path / "b", *half, "--stage", stage, "--stop", "1")
        run(tmp_path / "b", *half, "--stage", stage)
    first = load_file(straight / "model.safetensors")
    second = load_file(tmp_path / "b/out/model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for stage in STAGES:
        rows = (tmp_path / f"b/work/{stage}.jsonl").read_text().splitlines()
        assert [json.loads(row)["step"] for row in rows] == [1, 2]
    other = run(tmp_path / "c", "--seed", "2", "--share", "0.25")
    third = load_file(other / "model.safetensors")
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_each_stage_moves_its_own_parts(run: Any, tmp_path: Path) -> None:
    """A stage leaves other parts alone and begins with what earlier ones made."""
    run(tmp_path, "--share", "0.5")
    see, look, tell, ask, settle = (
        torch.load(tmp_path / f"work/{name}.pt", weights_only=True)["trainer"] for name in STAGES
    )
    assert torch.equal(see["codes.alphabet"], ask["codes.alphabet"])
    weights = [name for name in look if name.endswith(".weight") and "norm" not in name]
    for name in weights:
        moved = name.startswith(SEES), name.startswith(WRITES), name.startswith(SAYS)
        assert sum(moved) == 1, name
        assert torch.equal(look[name], see[name]) == moved[2], name
        made = tell[name] if moved[2] else look[name]
        assert (ask[name] - made).abs().max() < 0.1, name
        assert torch.equal(ask[name], made) == moved[0], name
        assert (settle[name] - ask[name]).abs().max() < 0.1, name
        assert torch.equal(settle[name], ask[name]) == (not name.startswith("model.")), name


def test_the_last_stage_ends_half_way_to_the_mean_of_its_steps(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "model.model.vision_connector.mlp.2.weight"
    passed: list[torch.Tensor] = []
    step = train.train_step

    def spy(stage: Any, trainer: Any, *rest: Any) -> None:
        if stage.averages and not passed:
            passed.append(trainer.get_parameter(name).detach().clone())
        step(stage, trainer, *rest)
        if stage.averages:
            passed.append(trainer.get_parameter(name).detach().clone())

    monkeypatch.setattr(train, "train_step", spy)
    run(tmp_path, "--share", "0.75")
    assert len(passed) == 1 + 3
    assert all((one - other).abs().max() > 1e-6 for one, other in pairwise(passed))
    made = torch.load(tmp_path / "work/settle.pt", weights_only=True)["trainer"][name]
    torch.testing.assert_close(made, (passed[0] + torch.stack(passed[1:]).mean(0)) / 2)


def test_the_alphabet_follows_from_what_was_seen(run: Any, tmp_path: Path) -> None:
    run(tmp_path, "--stage", "see", "--stop", "2")
    early = torch.load(tmp_path / "work/see.pt", weights_only=True)["trainer"]["codes.alphabet"]
    run(tmp_path, "--stage", "see")
    state = torch.load(tmp_path / "work/see.pt", weights_only=True)["trainer"]
    codes = Codes(256)
    assert torch.equal(early, codes.alphabet)
    head = MarkHead(192)
    head.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("head.")})
    with torch.no_grad():
        codes.take_alphabet(head.readings())
    torch.testing.assert_close(state["codes.alphabet"], codes.alphabet)


def test_half_precision_learns_the_same(run: Any, tmp_path: Path) -> None:
    """Products in bfloat16; weights and what optimizers keep stay in float32."""
    for folder, options in ((tmp_path / "full", ()), (tmp_path / "half", ("--half",))):
        run(folder, "--share", "0.5", *options)
    for stage, row, figure in (
        ("see", 0, "norm"),  # before the first update
        ("look", 1, "word align"),
        ("tell", 1, "word loss"),
        ("ask", 1, "word loss"),
        ("settle", 1, "word loss"),
    ):
        full, half = (
            json.loads((tmp_path / f"{name}/work/{stage}.jsonl").read_text().splitlines()[row])
            for name in ("full", "half")
        )
        assert half[figure] != full[figure]
        assert half[figure] == pytest.approx(full[figure], rel=0.05)
    state = torch.load(tmp_path / "half/work/ask.pt", weights_only=True)
    kept = [one for of in state["optimizers"] for one in of["state"].values()]
    tensors = [*state["trainer"].values(), *(value for one in kept for value in one.values())]
    assert len(kept) > 20 and all(tensor.dtype == torch.float32 for tensor in tensors)


def test_compiled_layers_learn_the_same(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for compiling, without the compiler, which not every machine has."""
    traced: list[Any] = []
    compiled = torch.compile

    def trace(layer: Any, dynamic: bool) -> Any:
        traced.append(layer)
        return compiled(layer, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch, "compile", trace)
    for folder, options in ((tmp_path / "plain", ()), (tmp_path / "traced", ("--compile",))):
        run(folder, "--share", "0.5", "--stop", "1", *options)
    assert len(traced) == len(STAGES) * 5  # a block of the tower, and four layers
    for stage in STAGES:
        plain, same = (
            json.loads((tmp_path / f"{name}/work/{stage}.jsonl").read_text())
            for name in ("plain", "traced")
        )
        for figure in plain.keys() - {"wall", "cpu"}:
            assert same[figure] == pytest.approx(plain[figure], rel=1e-3, abs=1e-3), figure


def test_the_seconds_of_drawing_are_those_of_the_process(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    steps = batches.Steps(AutoTokenizer.from_pretrained(tmp_path), small_plan, 1, 4)
    steps[0]
    before = time.process_time()
    second = steps[1].cpu_seconds
    assert 0 < second == pytest.approx(time.process_time() - before, rel=0.5)
    time.sleep(0.2)  # costs nothing
    assert steps[1].cpu_seconds < second + 0.1


def test_seconds_of_all_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train.sum_over_all(3.5) == 3.5
    monkeypatch.setattr(train.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(train.dist, "all_reduce", lambda tensor: tensor.mul_(3))
    assert train.sum_over_all(3.5) == 10.5


def test_what_training_writes_is_a_checkpoint(run: Any, tmp_path: Path) -> None:
    out = run(tmp_path, "--share", "0.25")
    assert inspect(out).complete
    chat = load(out, device="cpu")
    assert chat.engine.model.dtype == torch.float32
    item = Item(word_strip(np.random.default_rng(0), (1, 4)).frames)
    item.dialog = [("words", "What word is written?", "lamp")]
    results = ask_all(chat, [item, grey(item)])
    assert [name for name, _, _ in results] == ["words", "words"]


@pytest.mark.parametrize("stage", ["see", "look", "tell"])
def test_training_learns(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """The pictures of one step, seen again and again, are learnt."""
    drawn = batches.Steps.__getitem__
    monkeypatch.setattr(
        batches.Steps,
        "__getitem__",
        lambda self, step: replace(drawn(self, 0), step=step),
    )
    if stage != "see":
        run(tmp_path, "--stage", "see", "--share", "0.25")
    run(tmp_path, "--stage", stage, "--share", "6")
    rows = [json.loads(row) for row in (tmp_path / f"work/{stage}.jsonl").read_text().splitlines()]
    if stage == "see":
        assert rows[-1]["word char"] > rows[0]["word char"] + 0.5
    else:
        measure = {"look": "word align", "tell": "word loss"}[stage]
        assert rows[-1][measure] < 0.7 * rows[0][measure]


def test_plans_grow_harder() -> None:
    first, last = (steps_of(plans.plan_see, p) for p in (0.0, 1.0))
    assert set(first) == {"sheet"}
    assert set(last) == {"sheet", "page", "card", "word", "shape", "clip", "easy", "unknown"}
    assert last["sheet"] < first["sheet"]
    lengths = []
    for progress in (0.0, 1.0):
        drawn = (plans.plan_tell(np.random.default_rng(i), progress) for i in range(9))
        draw, grid = next((d, g) for plan in drawn for kind, d, g, _ in plan if kind == "word")
        texts = [draw(np.random.default_rng(i), grid).dialog[0][1] for i in range(20)]
        lengths.append(max(len(text) for text in texts if text != "A word."))
    assert lengths[0] == 1
    assert lengths[1] > 4


def test_look_is_mostly_text_on_cards_of_all_sizes() -> None:
    blocks: Counter[str] = Counter()
    areas = []
    for seed in range(40):
        for kind, _, grid, number in plans.plan_look(np.random.default_rng(seed), 0.5):
            blocks[kind] += grid[0] * grid[1] * number
            areas += [grid[0] * grid[1]] * number * (kind == "card")
    text = sum(blocks[kind] for kind in ("word", "page", "card"))
    assert text > 0.65 * blocks.total()
    assert min(areas) < 30
    assert 80 < max(areas) <= 96
    assert sum(area > 45 for area in areas) > 0.3 * len(areas)


def test_settle_draws_scenes_and_cards_of_all_sizes() -> None:
    found = steps_of(plans.plan_settle, 0.5)
    assert set(found) == set(ANSWER_WEIGHTS)
    areas: dict[str, list[int]] = {"shape": [], "card": []}
    for seed in range(60):
        for kind, _, grid, _ in plans.plan_settle(np.random.default_rng(seed), 0.5):
            if kind in areas:
                areas[kind].append(grid[0] * grid[1])
    assert len(areas["shape"]) == len(areas["card"]) == 60
    assert min(areas["shape"]) < 16 and max(areas["shape"]) > 60
    assert sum(area > 36 for area in areas["shape"]) > 20
    assert min(areas["card"]) < 25 and max(areas["card"]) > 88


def steps_of(plan: Any, progress: float) -> Counter[str]:
    """Samples of each kind in twenty steps."""
    found: Counter[str] = Counter()
    for seed in range(20):
        for kind, _, _, number in plan(np.random.default_rng(seed), progress):
            found[kind] += number
    return found


def test_every_stage_runs_after_those_that_it_takes_up() -> None:
    assert [name for names in ROUNDS for name in names] == list(STAGES)
    done: set[str] = set()
    for names in ROUNDS:
        assert all(done >= set(STAGES[name].begins_with) for name in names)
        done |= set(names)


def test_processes_share_out_the_samples_of_a_step() -> None:
    plan = plans.plan_ask(np.random.default_rng(0), 0.5)
    shares = [batches.share_out(plan, rank, 3) for rank in range(3)]
    for index, (*_, number) in enumerate(plan):
        samples = [sample for share in shares for sample in share.get(index, [])]
        assert samples == list(range(number))
    assert sum(len(share) for share in shares) <= len(plan) + 2
    even: Plan = [("card", card_sample, (4, 5), 4), ("clip", partial(clip, frames=4), (2, 5), 12)]
    first, second = (batches.share_out(even, rank, 2) for rank in range(2))
    # 45 tokens each of 4, and 65 each of 12: half of all are the first 4 and 5 or 6 more.
    assert first == {0: [0, 1, 2, 3], 1: [0, 1, 2, 3, 4]}
    assert second == {1: [5, 6, 7, 8, 9, 10, 11]}


def test_samples_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    def plan(rng: np.random.Generator, progress: float) -> Plan:
        return [("word", word_strip, (1, 4), 3), ("word", word_strip, (1, 4), 1)]

    def drawn(rank: int, processes: int) -> batches.Batch:
        return batches.Steps(tokenizer, plan, 1, 10, rank, processes)[4]

    alone, first, second = drawn(0, 1), drawn(0, 2), drawn(1, 2)
    assert alone.shares == [1, 1] and first.shares == [2 / 3] and second.shares == [1 / 3, 1]
    assert torch.equal(alone.groups[0].pixels[:2], first.groups[0].pixels)
    assert torch.equal(alone.groups[0].pixels[2:], second.groups[0].pixels)
    assert torch.equal(alone.groups[1].pixels, second.groups[1].pixels)


def test_rates_over_a_stage() -> None:
    stage = replace(STAGES["look"], warmup=10, decay_from=0.5)
    rates = [rate_at(step, 100, stage) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:50] == pytest.approx([1.0] * 41, abs=2e-3)
    assert all(later < earlier for earlier, later in pairwise(rates[50:]))
    level = replace(stage, decay_from=1.0)
    assert rate_at(99, 100, level) == 1.0


def test_answers_are_compared_without_case_and_final_stops() -> None:
    results = [("a", "Left", "left."), ("a", "3", "4"), ("b", "$1.50", "$1.50")]
    assert accuracy(results) == {"a": (1, 2), "b": (1, 1)}
    rows = [{"measure": "a", "questions": 2, "accuracy": 0.5, "grey": 0.1, "target": 0.9}]
    assert "| a | 2 | 50.0% | 10.0% | 90% |" in markdown(rows)
