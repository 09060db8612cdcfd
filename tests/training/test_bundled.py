"""The training: it runs, resumes exactly, and writes a checkpoint of this network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from toolchain.checkpoints.load import load_state_dict
from toolchain.progress import SilentListener
from training import bundled
from training.bundled import Plan, Training
from training.channel_pruning import zero_channels
from training.plots import plot_history
from training.pool import make_pool
from training.randomness import Randomness
from training.recipe import BUNDLED, Part, Phase, Pictures, Recipe
from training.stream import held_out

BASE = Part((Phase(3, 2, (64, 64), (1.0, 2.0)),), Pictures(3, 2, (160, 128)))
REFINER = Part(
    (Phase(2, 1, (256, 320), (0.5,)),),
    Pictures(2, 2, (160, 128)),
    learns="refiner",
    least_variance=0.03,
)
BOTH = Part(
    (Phase(3, 2, (128, 160), (1.0,)),),
    Pictures(2, 2, (160, 128)),
    learns="both",
    least_variance=0.03,
)
TINY = Recipe((BASE, REFINER, BOTH))


def run(plan: Plan) -> None:
    """The whole of a plan, its weights written."""
    bundled.write_weights(bundled.train(plan, SilentListener()))


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in any part or between them and started again, the file holds the same bytes."""
    monkeypatch.setattr(bundled, "RECORD_EVERY", 1)
    monkeypatch.setattr(bundled, "HELD_OUT_BATCHES", 1)
    pools: dict[int, object] = {}
    drawn: Callable[..., object] = bundled._pool

    def once(plan: Plan, number: int, talk: object) -> object:  # drawing is tested elsewhere
        if number not in pools:
            pools[number] = drawn(plan, number, talk)
        return pools[number]

    monkeypatch.setattr(bundled, "_pool", once)
    whole = Plan(3, TINY, tmp_path / "whole", tmp_path / "whole.safetensors")
    run(whole)
    cut = Plan(3, TINY, tmp_path / "cut", tmp_path / "cut.safetensors")
    learn = Training.learn
    for last in (1, 3, 4, 6):

        def stopping(self: Training, *args: object, last: int = last, **kw: object) -> float:
            if self.step == last:
                raise KeyboardInterrupt
            return learn(self, *args, **kw)  # type: ignore[arg-type]

        monkeypatch.setattr(Training, "learn", stopping)
        with pytest.raises(KeyboardInterrupt):
            bundled.train(cut, SilentListener())
    monkeypatch.setattr(Training, "learn", learn)
    run(cut)
    assert cut.target.read_bytes() == whole.target.read_bytes()
    assert len(load_state_dict(whole.target)) == 382
    kinds = {value.dtype for value in load_file(whole.target).values()}
    assert kinds == {torch.float16, torch.int64}
    history = json.loads((whole.work / "history.json").read_text())
    assert len(history["losses"]) == 8
    assert [step for step, _ in history["held_out"]] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_refiner_learns_alone() -> None:
    """In its part the base network keeps every weight and every statistic."""
    training = Training(Plan(1, TINY, Path("unused"), Path("unused")))
    pool = make_pool(1, REFINER.pictures, SilentListener())
    before = {key: value.clone() for key, value in training.network.state_dict().items()}
    batch = bundled._batch(pool, Randomness(1, 0, "cpu"), REFINER, REFINER.phases[0], 0.5)
    training.learn(batch, 1e-3, REFINER, 0)
    changed = {
        key.split(".")[0]
        for key, value in training.network.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed == {"refiner"}


def test_both_learn_together_on_whole_frames() -> None:
    """The refiner's error reaches the base network, and each has its own rate."""
    training = Training(Plan(1, TINY, Path("unused"), Path("unused")))
    training.network.decoder.conv4.weight.data *= 20  # so that some patches are refined
    before = {key: value.clone() for key, value in training.network.named_parameters()}
    frames = held_out(1, (128, 160))[0]
    training.learn(frames, 1e-3, BOTH, 0)
    moved = {
        key: float((value - before[key]).detach().abs().max())
        for key, value in training.network.named_parameters()
    }
    assert 0.5e-3 < moved["backbone.features.0.0.weight"] < 2e-3
    assert 1.5e-3 < moved["refiner.conv1.weight"] < 4e-3


def test_rates_rise_shortly_and_anneal_to_zero_in_each_part() -> None:
    """Every part begins slowly, reaches its peak rate and ends near none."""
    assert BUNDLED.steps == sum(phase.steps for part in BUNDLED.parts for phase in part.phases)
    for part in BUNDLED.parts:
        rates = [rate for _, _, rate in part.schedule()]
        assert len(rates) == part.steps
        assert rates[0] < 0.2 * max(rates)
        assert max(rates) == pytest.approx(part.peak_rate, rel=0.01)
        assert rates[-1] < 1e-4 * max(rates)


def test_channels_that_hardly_vary_are_left_out_of_the_parts_that_learn() -> None:
    """Below the least variance a channel gives its shift alone; frozen parts keep theirs."""
    network = torch.nn.Sequential(
        torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3).requires_grad_(requires_grad=False)
    ).eval()
    for norm in network:
        assert isinstance(norm, torch.nn.BatchNorm2d)
        assert norm.running_var is not None
        norm.running_var.copy_(torch.tensor([0.01, 0.03, 1.0]))
    zero_channels(network, 0.03)
    assert network[0].weight.tolist() == [0.0, 1.0, 1.0]
    assert network[1].weight.tolist() == [1.0, 1.0, 1.0]


def test_a_steady_part_keeps_every_statistic_and_what_it_left_out() -> None:
    """With a least variance BatchNorm learns by its weights alone, and 0 stays 0."""
    part = replace(BASE, least_variance=0.5)
    training = Training(Plan(1, TINY, Path("unused"), Path("unused")))
    norm = training.network.backbone.features[0][1]
    norm.running_var[:4] = 0.1
    before = {key: value.clone() for key, value in training.network.state_dict().items()}
    pool = make_pool(1, part.pictures, SilentListener())
    for step in range(2):
        batch = bundled._batch(pool, Randomness(1, step, "cpu"), part, part.phases[0], 1.0)
        training.learn(batch, 1e-3, part, step)
    after = training.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in after if "running" in key)
    assert not norm.weight[:4].any()
    assert norm.weight[4:].all()


def test_a_history_becomes_the_same_picture_every_time(tmp_path: Path) -> None:
    """Losses and held-out errors are drawn into a PNG that depends on nothing else."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        plot_history([1.0 / (step + 1) for step in range(400)], [(200, 9.0), (400, 7.0)], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Image.open(paths[0]) as picture:
        assert picture.width > picture.height > 200
