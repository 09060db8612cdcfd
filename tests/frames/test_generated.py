"""Generated composites: repeatable, with exact ground truth."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite, composites


def digest(frame: Frame) -> str:
    assert frame.alpha is not None
    assert frame.foreground is not None
    data = frame.src.tobytes() + frame.bgr.tobytes()
    return hashlib.sha256(data + frame.alpha.tobytes() + frame.foreground.tobytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """The result depends on seed and size alone."""
    code = (
        "from tests.frames.test_generated import digest;"
        "from toolchain.frames.generated import composite;"
        "print(digest(composite(7, 320, 192)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(composite(7, 320, 192))
    assert digest(composite(8, 320, 192)) != digest(composite(7, 320, 192))


@pytest.mark.parametrize("seed", range(12))
def test_shapes_types_and_ranges(seed: int) -> None:
    """Frames are uint8 RGB, ground truth is float32, 0..1."""
    frame = composite(seed, 320, 192)
    assert frame.alpha is not None
    assert frame.foreground is not None
    assert frame.src.shape == frame.bgr.shape == frame.foreground.shape == (192, 320, 3)
    assert frame.src.dtype == frame.bgr.dtype == np.uint8
    assert frame.alpha.shape == (192, 320)
    for truth in (frame.alpha, frame.foreground):
        assert truth.dtype == np.float32
        assert 0 <= truth.min() <= truth.max() <= 1


def test_the_frame_is_the_foreground_over_the_plate() -> None:
    """Where the plate is exact, src = alpha F + (1 - alpha) B within rounding."""
    exact = 0
    for frame in composites(20, 0, 256, 160):
        assert frame.alpha is not None
        assert frame.foreground is not None
        cover = frame.alpha[..., None]
        made = cover * frame.foreground + (1 - cover) * (frame.bgr.astype(np.float32) / 255)
        wrong = np.abs(made * 255 - frame.src)
        solid = cover[..., 0] == 1
        assert wrong[solid].max(initial=0) <= 0.51  # does not depend on the plate
        exact += wrong.max() <= 1.01
    assert 4 <= exact <= 16


def test_mattes_have_soft_edges_and_solid_parts() -> None:
    """Some frames together contain alpha of 0, of 1, and between."""
    alphas = [frame.alpha for frame in composites(10, 100, 256, 160)]
    together = np.stack([alpha for alpha in alphas if alpha is not None])
    assert (together == 0).mean() > 0.3
    assert (together > 0.99).mean() > 0.02
    assert ((together > 0.02) & (together < 0.98)).mean() > 0.005
