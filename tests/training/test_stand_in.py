"""The short training: it runs, resumes exactly, and writes a checkpoint of this network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from toolchain.network.checkpoint import load_state_dict
from toolchain.progress import Silence
from training import stand_in
from training.stand_in import Phase, Plan


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    phases = (Phase(3, 2, (64, 64)), Phase(2, 1, (128, 128), refiner=True))
    monkeypatch.setattr(stand_in, "PHASES", phases)
    monkeypatch.setattr(stand_in, "RECORD_EVERY", 1)


@pytest.mark.usefixtures("small")
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in either phase and started again, the file holds the same bytes."""
    whole = Plan(3, 1.0, tmp_path / "whole", tmp_path / "whole.safetensors")
    monkeypatch.setattr(stand_in, "_pool", _tiny_pool)
    stand_in.write_weights(stand_in.train(whole, Silence()), 0.0)
    cut = Plan(3, 1.0, tmp_path / "cut", tmp_path / "cut.safetensors")
    learn = stand_in.Training.learn
    for last in (1, 4):

        def stopping(
            self: stand_in.Training, *args: object, last: int = last, **kw: object
        ) -> float:
            if self.step == last:
                raise KeyboardInterrupt
            return learn(self, *args, **kw)  # type: ignore[arg-type]

        monkeypatch.setattr(stand_in.Training, "learn", stopping)
        with pytest.raises(KeyboardInterrupt):
            stand_in.train(cut, Silence())
    monkeypatch.setattr(stand_in.Training, "learn", learn)
    stand_in.write_weights(stand_in.train(cut, Silence()), 0.0)
    assert cut.target.read_bytes() == whole.target.read_bytes()
    state = load_state_dict(whole.target)
    assert len(state) == 382
    assert {value.dtype for value in load_file(whole.target).values()} == {
        torch.float16,
        torch.int64,
    }


def _tiny_pool(plan: Plan, _: object, *, refiner: bool) -> object:
    from training.pool import make_pool

    return make_pool(plan.seed + refiner, 3, 2, (160, 128), Silence())
