"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of this network with plausible random weights; not to be changed."""
    from tests.support.weights import save_checkpoint

    return save_checkpoint(tmp_path_factory.mktemp("weights") / "plausible.pth")


@pytest.fixture(scope="session")
def real_frames() -> Path:
    """A folder of real frames and plates; the test is skipped where there is none."""
    folder = SAMPLES / "capture"
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}")
    return folder
