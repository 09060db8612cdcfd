"""Images and figures of a frame are those of the outputs, NaN included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.browser import decoded
from toolchain.frames.generated import composite
from toolchain.pictures.heat import NOT_A_NUMBER
from toolchain.report.gallery import FrameGallery, ReportedVariant

WIDTH, HEIGHT = 64, 48
FRAME = composite(2029, WIDTH, HEIGHT)


@dataclass
class Output:
    """Outputs of a variant."""

    pha: np.ndarray
    fgr: np.ndarray
    ref: np.ndarray


def output(seed: int = 1) -> Output:
    random = np.random.default_rng(seed)
    return Output(
        random.random((HEIGHT, WIDTH), np.float32),
        random.random((HEIGHT, WIDTH, 3), np.float32),
        random.random((HEIGHT // 4, WIDTH // 4)) > 0.5,
    )


def variant() -> ReportedVariant:
    return ReportedVariant("fp32-f32", "FP32", (2e-5, None))


def test_the_largest_difference_is_located() -> None:
    """Its position is reported as shares of the frame, its size in the row of figures."""
    original, other, ran = output(), output(), variant()
    other.pha[30, 50] = (original.pha[30, 50] + 0.5) % 1
    gallery = FrameGallery(FRAME, "generated", original)
    gallery.add(ran, other)
    shown = gallery.build()
    (images,) = shown.variants
    assert (int(images.worst[0] * WIDTH), int(images.worst[1] * HEIGHT)) == (50, 30)
    largest = abs(float(other.pha[30, 50]) - float(original.pha[30, 50]))
    texts = [cell.text for cell in shown.table.rows[1]]
    assert texts[:4] == [
        "FP32",
        f"{largest:.1e}",
        f"{largest / original.pha.size:.1e}",
        f"{1 / original.pha.size:.4%}",
    ]
    heat = decoded(images.heat, "RGB").astype(int).sum(axis=2)
    assert np.unravel_index(heat.argmax(), heat.shape) == (30, 50)
    assert len(np.unique(heat)) == 2


def test_differently_chosen_patches_are_not_a_numeric_error() -> None:
    """They are left out of the histograms and counted in the row of figures."""
    original, other, ran = output(), output(), variant()
    other.ref[3, 5] ^= True
    other.pha[12:16, 20:24] = 1 - original.pha[12:16, 20:24]
    gallery = FrameGallery(FRAME, "generated", original)
    gallery.add(ran, other)
    alpha, foreground = ran.build_histograms().series
    assert alpha.shares[0] == foreground.shares[0] == 1
    assert (
        alpha.caption
        == "alpha: no value differs by more than 1/255, the largest difference is 0.0e+00"
    )
    assert (alpha.limit, foreground.limit) == (2e-5, None)
    assert gallery.build().table.rows[1][5].text == f"{1 / other.ref.size:.3%}"


def test_nan_is_shown_as_such() -> None:
    """NaN has its own colour, is the worst position, and is in the last bin of the histogram."""
    original, other, ran = output(), output(), variant()
    other.pha[7, 9] = np.nan
    gallery = FrameGallery(FRAME, "generated", original)
    gallery.add(ran, other)
    (images,) = gallery.build().variants
    assert decoded(images.heat, "RGB")[7, 9].tolist() == list(NOT_A_NUMBER)
    assert (int(images.worst[0] * WIDTH), int(images.worst[1] * HEIGHT)) == (9, 7)
    assert ran.build_histograms().series[0].shares[-1] > 0


@pytest.mark.parametrize("widest", [64, 32, 20])
def test_images_are_no_wider_than_requested(widest: int) -> None:
    """All images of one frame have one size, ground truth and clean plate included."""
    gallery = FrameGallery(FRAME, "generated", output(), widest)
    gallery.add(variant(), output(2))
    shown = gallery.build()
    (images,) = shown.variants
    assert shown.truth is not None
    size = (shown.height, shown.width)
    assert shown.width <= widest
    for image in (shown.src, shown.plate, shown.truth, shown.alpha, shown.cutout, images.alpha):
        assert decoded(image, "RGB").shape[:2] == size
    assert decoded(images.heat, "RGB").shape[:2] == size
