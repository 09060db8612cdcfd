"""Mutated files of every format: refused in one sentence, or read as other readers read them.

`python -m tests.support.fuzz_checkpoints --files 20000` runs many more.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import fuzz_checkpoints as fuzz
from tests.support.checkpoint_forms import State

Good = tuple[State, dict[str, bytes]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    """Weights of a small network, and a file of them in each format."""
    with fuzz.only_architecture(fuzz.SMALL):
        state = fuzz.random_state(fuzz.SMALL)
        yield state, fuzz.write_bases(tmp_path_factory.mktemp("bases"), state)


@pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm")
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(number=st.integers(0, 1 << 32))
def test_a_mutated_file_is_refused_or_right(number: int, good: Good, tmp_path: Path) -> None:
    """Never a traceback, wrong tensors, five seconds, or memory beyond the bound."""
    state, bases = good
    path = tmp_path / "checkpoint"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other readers and of zipfile
        name, data = fuzz.make(bases, 0, number)
        path.write_bytes(data)
        result = fuzz.check(path, state)
    assert not result.is_failure, f"{number} ({name}): {result}"


def test_the_other_readers_read_every_format(good: Good, tmp_path: Path) -> None:
    """So that the comparison with them means something."""
    state, bases = good
    for name, data in bases.items():
        path = tmp_path / "checkpoint"
        path.write_bytes(data)
        checkpoint = fuzz.load_checkpoint(path)
        assert fuzz._agrees(checkpoint, path), name
        assert fuzz.check(path, state).kind == "right", name
        changed = {key: value + 1 for key, value in checkpoint.state.items()}
        assert not fuzz._agrees(fuzz.replace(checkpoint, state=changed), path), name
    assert torch.is_tensor(next(iter(state.values())))
