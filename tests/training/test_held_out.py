"""The held-out sets for the bundled weights, and the difference keys they are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolchain.frames.frame import Frame
from training.held_out import SIZE, generated, real
from training.keys import KeyTuner, plain_key


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people as rectangles, named in both ways, and one without a matte."""
    for name, left in (("fgr_1", 150), ("b_fgr", 300)):
        colour = np.full((360, 640, 3), 200, np.uint8)
        matte = np.zeros((360, 640), np.uint8)
        matte[100:, left : left + 80] = 255
        Image.fromarray(colour).save(tmp_path / f"{name}.png")
        Image.fromarray(matte).save(tmp_path / f"{name.replace('fgr', 'pha')}.png")
    (tmp_path / "fgr_without_matte.png").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("fault", ["exact", "degraded", "hand-held"])
def test_people_stand_before_every_room(people: Path, fault: str) -> None:
    """Each matte, plain and mirrored, meets each room; only an exact plate equals the frame."""
    held_out = real(people, None, fault)
    assert len(held_out.frames) == 2 * 2 * 4
    frame = held_out.frames[0]()
    assert frame.src.shape == (SIZE[1], SIZE[0], 3)
    assert frame.alpha is not None
    empty = frame.alpha == 0
    same = bool((frame.src[empty] == frame.bgr[empty]).all())
    assert same == (fault == "exact")


def test_real_plates_are_rooms_too(people: Path, tmp_path: Path) -> None:
    """Each `bgr.png` below the folder of plates adds a room."""
    (tmp_path / "plates" / "kitchen").mkdir(parents=True)
    Image.new("RGB", (64, 36), (10, 90, 40)).save(tmp_path / "plates" / "kitchen" / "bgr.png")
    assert len(real(people, tmp_path / "plates", "exact").frames) == 2 * 2 * 5


def test_generated_frames_carry_their_truth() -> None:
    """Held-out composites come in a stable order, each with its matte."""
    held_out = generated(2)
    first = held_out.frames[0]()
    assert first.name == "composite-900000"
    assert first.alpha is not None
    assert len(held_out.frames) == 2


def test_the_tuned_key_is_perfect_where_a_key_can_be() -> None:
    """A figure that differs everywhere from an exact plate is keyed without error."""
    plate = np.zeros((64, 96, 3), np.uint8)
    src = plate.copy()
    src[16:48, 20:70] = 120
    alpha = np.zeros((64, 96), np.float32)
    alpha[16:48, 20:70] = 1
    tuner = KeyTuner()
    tuner.add(Frame("square", src, plate, alpha))
    best = tuner.best()
    assert best.mad == pytest.approx(0, abs=1e-6)
    assert best.blur == 0


def test_the_tuned_key_beats_the_plain_one_where_the_plate_is_noisy() -> None:
    """Noise over the plain key's lower threshold is tuned away."""
    random = np.random.default_rng(3)
    plate, src = (
        np.clip(random.normal(128, 20, (96, 128, 3)), 0, 255).astype(np.uint8) for _ in "ab"
    )
    alpha = np.zeros((96, 128), np.float32)
    alpha[24:72, 30:90] = 1
    src[alpha > 0] = 250
    tuner = KeyTuner()
    tuner.add(Frame("noisy", src, plate, alpha))
    plain = 1000 * float(np.abs(plain_key(src, plate) - alpha).mean())
    assert tuner.best().mad < 0.3 * plain


def test_the_plain_key_is_a_ramp_of_the_largest_difference() -> None:
    """0 up to 0.05, 1 from 0.20 on, straight in between."""
    bgr = np.zeros((1, 4, 3), np.uint8)
    src = bgr.copy()
    src[0, :, 1] = [0, 12, 32, 255]
    assert plain_key(src, bgr)[0].tolist() == pytest.approx(
        [0, 0, (32 / 255 - 0.05) / 0.15, 1], abs=1e-6
    )
