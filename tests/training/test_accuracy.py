"""The weights that ship make mattes: held-out sets, at full size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.conftest import SAMPLES
from toolchain.checkpoints.load import load_network
from toolchain.frames.frame import Frame
from toolchain.metrics.score import Matte, published_scores
from toolchain.network.matting import MattingNetwork
from toolchain.network.resize import bilinear
from training.bundled import TARGET
from training.held_out import HeldOutSet, generated, real

# Limits on alpha MAD x1000; the card has the figures of the whole sets.
LIMITS = {"generated": 9.0, "degraded": 11.0, "exact": 8.0, "hand-held": 25.0}


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    return load_network(TARGET)


def run(network: MattingNetwork, frame: Frame) -> tuple[dict[str, float], dict[str, float], int]:
    """Scores after and before refinement, and how many patches were refined."""
    src, bgr = (
        torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        for picture in (frame.src, frame.bgr)
    )
    assert frame.alpha is not None
    assert frame.foreground is not None
    with torch.inference_mode():
        out = network(src, bgr)
        coarse = bilinear(out.pha_sm, (src.shape[2], src.shape[3]))
    colours = out.fgr[0].permute(1, 2, 0).numpy()
    after, before = (
        published_scores(Matte(alpha[0, 0].numpy(), colours), Matte(frame.alpha, frame.foreground))
        for alpha in (out.pha, coarse)
    )
    return after, before, int(out.ref_sm.sum())


def mad(scores: Sequence[dict[str, float]]) -> float:
    return float(np.mean([item["alpha_mad"] for item in scores]))


def some_of(held_out: HeldOutSet, every: int) -> list[Frame]:
    return [load() for load in held_out.frames[::every]]


def test_generated_composites_are_matted_and_refinement_sharpens(network: MattingNetwork) -> None:
    """Alpha MAD is low on frames never trained on, and GRAD lower after refinement than before."""
    results = [run(network, frame) for frame in some_of(generated(24), 3)]
    after, before = [item[0] for item in results], [item[1] for item in results]
    assert mad(after) <= LIMITS["generated"]
    assert np.mean([s["alpha_grad"] for s in after]) < np.mean([s["alpha_grad"] for s in before])


@pytest.mark.parametrize("fault", ["exact", "degraded", "hand-held"])
def test_real_people_are_matted(network: MattingNetwork, fault: str) -> None:
    """Real people over photographs and plates; at least half of the patches are refined."""
    folder = SAMPLES / "mattes"
    if not folder.is_dir():
        pytest.skip(f"no real mattes in {folder}")
    held_out = real(folder, SAMPLES, fault)
    results = [run(network, frame) for frame in some_of(held_out, 4)]
    assert mad([item[0] for item in results]) <= LIMITS[fault]
    assert np.mean([item[2] for item in results]) > 2_500


def test_an_empty_room_is_empty(network: MattingNetwork) -> None:
    """With equal frame and plate, alpha is 0."""
    frame = some_of(generated(1), 1)[0]
    empty = Frame("empty", frame.bgr, frame.bgr, np.zeros_like(frame.alpha), frame.foreground)
    assert run(network, empty)[0]["alpha_mad"] < 1.0
