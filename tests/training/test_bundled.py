"""The training: it runs, resumes exactly, and writes a checkpoint of this network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from toolchain.network.checkpoint import load_state_dict
from toolchain.progress import Silence
from training import bundled
from training.bundled import Plan, Training
from training.plots import plot_history
from training.pool import make_pool
from training.randomness import Randomness
from training.recipe import BUNDLED, Phase, PoolSize, Recipe

TINY = Recipe(
    phases=(
        Phase(3, 2, (64, 64), (1.0, 2.0)),
        Phase(2, 1, (256, 320), (0.5,), refiner=True),
    ),
    base_pool=PoolSize(3, 2, (160, 128)),
    refiner_pool=PoolSize(2, 2, (160, 128)),
)


def run(plan: Plan) -> None:
    """The whole of a plan, its weights written."""
    bundled.write_weights(bundled.train(plan, Silence()))


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in either phase and started again, the file holds the same bytes."""
    monkeypatch.setattr(bundled, "RECORD_EVERY", 1)
    monkeypatch.setattr(bundled, "HELD_OUT_BATCHES", 1)
    pools: dict[bool, object] = {}
    drawn: Callable[..., object] = bundled._pool

    def once(plan: Plan, talk: object, *, refiner: bool) -> object:  # drawing is tested elsewhere
        if refiner not in pools:
            pools[refiner] = drawn(plan, talk, refiner=refiner)
        return pools[refiner]

    monkeypatch.setattr(bundled, "_pool", once)
    whole = Plan(3, TINY, tmp_path / "whole", tmp_path / "whole.safetensors")
    run(whole)
    cut = Plan(3, TINY, tmp_path / "cut", tmp_path / "cut.safetensors")
    learn = Training.learn
    for last in (1, 4):

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
    """In its phases the base network keeps every weight and every statistic."""
    training = Training(Plan(1, TINY, Path("unused"), Path("unused")))
    pool = make_pool(1, 2, 2, (160, 128), Silence())
    before = {key: value.clone() for key, value in training.network.state_dict().items()}
    batch = bundled._batch(pool, Randomness(1, 0, "cpu"), TINY.phases[1], 0.5)
    training.learn(batch, 1e-3, refiner=True)
    changed = {
        key.split(".")[0]
        for key, value in training.network.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed == {"refiner"}


def test_rates_rise_shortly_and_anneal_to_zero_twice() -> None:
    """Base and refiner each begin slowly, reach the peak rate and end near none."""
    steps = list(BUNDLED.schedule())
    assert len(steps) == sum(phase.steps for phase in BUNDLED.phases)
    for refiner in (False, True):
        rates = [rate for phase, _, rate in steps if phase.refiner == refiner]
        assert rates[0] < 0.1 * max(rates)
        assert max(rates) == pytest.approx(bundled.PEAK_RATE, rel=0.01)
        assert rates[-1] < 1e-4 * max(rates)


def test_a_history_becomes_the_same_picture_every_time(tmp_path: Path) -> None:
    """Losses and held-out errors are drawn into a PNG that depends on nothing else."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        plot_history([1.0 / (step + 1) for step in range(400)], [(200, 9.0), (400, 7.0)], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Image.open(paths[0]) as picture:
        assert picture.width > picture.height > 200
