"""The small model, built once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import LOOSE_LIMITS
from tests.support.building import build_as_planned, small_request
from toolchain.pipeline.build import BuildResult
from toolchain.pipeline.request import BuildRequest


@pytest.fixture(scope="package")
def config(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model.yml with limits that random weights keep on every device."""
    path = tmp_path_factory.mktemp("limited") / "model.yml"
    path.write_text(small_config.read_text() + LOOSE_LIMITS)
    return path


@pytest.fixture(scope="package")
def built(config: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """One whole build; not to be changed."""
    output = tmp_path_factory.mktemp("built") / "out"
    return build_as_planned(small_request(config, output))


@pytest.fixture
def copy(built: BuildResult, tmp_path: Path) -> BuildRequest:
    """The same build in a folder of this test's own."""
    shutil.copytree(built.request.output, tmp_path / "out")
    return replace(built.request, output=tmp_path / "out")
