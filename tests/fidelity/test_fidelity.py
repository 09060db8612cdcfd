"""The short form of `make fidelity`: correct builds pass, faulty ones do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fidelity.family import list_family
from fidelity.faults import list_faults
from fidelity.trial import Build, judge, make_build

CHECKPOINTS = ("bundled, BatchNorm rescaled over 3 decades", "random, err collapsed")
FAULTS = (
    "channels of the frame reversed",
    "align_corners in the decoder",
    "full-size windows one pixel lower",
    "no mask where the expected error is zero",
    "last of equal expected errors",
    "one weight x 1.001: refiner conv1 in phases",
    "50 patches fewer",
    "IR: divided by 256",
    "IR FP16: every weight 0.1 % off",
    "IR FP16: one weight overflows",
)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A correct build of random weights."""
    return make_build(list_family()["random, seed 0"](), tmp_path_factory.mktemp("random"))


def test_there_are_enough_of_both() -> None:
    """At least 30 checkpoints and 34 faults."""
    assert len(list_family()) >= 30
    assert len(list_faults()) >= 34


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_legitimate_checkpoint_passes(name: str, tmp_path: Path) -> None:
    """Whatever the origin of the weights, a correct conversion of them passes."""
    outcome = judge(make_build(list_family()[name](), tmp_path).request)
    assert (outcome.verdict, outcome.reason) == ("pass", "")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str, build: Build, tmp_path: Path) -> None:
    """The same build with one fault does not pass."""
    assert judge(list_faults()[name](build, tmp_path / "faulty")).verdict in ("fail", "error")


def test_the_build_without_a_fault_passes(build: Build) -> None:
    """So it is the faults that fail."""
    assert judge(build.request).verdict == "pass"
