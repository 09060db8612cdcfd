"""The training: it runs, resumes exactly, and writes a checkpoint of this network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from toolchain.network.checkpoint import load_state_dict
from toolchain.progress import Silence
from training import bundled
from training.bundled import Plan, Training
from training.gains import bound_gains, gains
from training.plots import plot_history
from training.pool import make_pool
from training.randomness import Randomness
from training.recipe import BUNDLED, Part, Phase, Pictures, Recipe

BASE = Part((Phase(3, 2, (64, 64), (1.0, 2.0)),), Pictures(3, 2, (160, 128)))
REFINER = Part(
    (Phase(2, 1, (256, 320), (0.5,)),), Pictures(2, 2, (160, 128)), refiner=True, most_gain=1.0
)
TINY = Recipe((BASE, REFINER))


def run(plan: Plan) -> None:
    """The whole of a plan, its weights written."""
    bundled.write_weights(bundled.train(plan, Silence()))


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in either part or between them and started again, the file holds the same bytes."""
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
    for last in (1, 3, 4):

        def stopping(self: Training, *args: object, last: int = last, **kw: object) -> float:
            if self.step == last:
                raise KeyboardInterrupt
            return learn(self, *args, **kw)  # type: ignore[arg-type]

        monkeypatch.setattr(Training, "learn", stopping)
        with pytest.raises(KeyboardInterrupt):
            bundled.train(cut, Silence())
    monkeypatch.setattr(Training, "learn", learn)
    run(cut)
    assert cut.target.read_bytes() == whole.target.read_bytes()
    assert len(load_state_dict(whole.target)) == 382
    kinds = {value.dtype for value in load_file(whole.target).values()}
    assert kinds == {torch.float16, torch.int64}
    history = json.loads((whole.work / "history.json").read_text())
    assert len(history["losses"]) == 5
    assert [step for step, _ in history["held_out"]] == [1, 2, 3, 4, 5]


def test_the_refiner_learns_alone() -> None:
    """In its part the base network keeps every weight and every statistic."""
    training = Training(Plan(1, TINY, Path("unused"), Path("unused")))
    pool = make_pool(1, REFINER.pictures, Silence())
    before = {key: value.clone() for key, value in training.network.state_dict().items()}
    batch = bundled._batch(pool, Randomness(1, 0, "cpu"), REFINER, REFINER.phases[0], 0.5)
    training.learn(batch, 1e-3, REFINER, 0)
    changed = {
        key.split(".")[0]
        for key, value in training.network.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed == {"refiner"}


def test_rates_rise_shortly_and_anneal_to_zero_in_each_part() -> None:
    """Every part begins slowly, reaches its peak rate and ends near none."""
    assert BUNDLED.steps == sum(phase.steps for part in BUNDLED.parts for phase in part.phases)
    for part in BUNDLED.parts:
        rates = [rate for _, _, rate in part.schedule()]
        assert len(rates) == part.steps
        assert rates[0] < 0.1 * max(rates)
        assert max(rates) == pytest.approx(part.peak_rate, rel=0.01)
        assert rates[-1] < 1e-4 * max(rates)


@given(most=st.floats(0.1, 5.0), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_no_gain_is_over_its_bound_and_others_stay(most: float, seed: int) -> None:
    """Whatever the variances, only channels over the bound lose weight, and just enough of it."""
    generator = torch.Generator().manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16))
    norm = network[1]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.running_var.copy_(10 ** (8 * torch.rand(16, generator=generator) - 6))
    ((_, before),) = gains(network)
    bound_gains(network, most)
    ((_, after),) = gains(network)
    assert torch.allclose(after, before.clamp(max=most), rtol=1e-5)


def test_a_gain_is_how_much_a_filter_and_its_batchnorm_enlarge_noise() -> None:
    """Independent noise on the inputs leaves a channel with its deviation times the gain."""
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Conv2d(8, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    norm = network[1]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.running_var.copy_(torch.tensor([0.01, 0.1, 1.0, 10.0]))
    with torch.no_grad():
        noise = network(torch.randn(4, 8, 64, 64))
    ((name, gain),) = gains(network)
    assert name == "1.weight"
    assert torch.allclose(noise.std((0, 2, 3)), gain, rtol=0.05)


def test_a_history_becomes_the_same_picture_every_time(tmp_path: Path) -> None:
    """Losses and held-out errors are drawn into a PNG that depends on nothing else."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        plot_history([1.0 / (step + 1) for step in range(400)], [(200, 9.0), (400, 7.0)], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Image.open(paths[0]) as picture:
        assert picture.width > picture.height > 200
