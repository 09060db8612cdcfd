"""The published metrics, against a second implementation written from their text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolchain.measures.keying import plain_key
from toolchain.measures.matting import score


def by_the_text(p: np.ndarray, f: np.ndarray, a: np.ndarray, t: np.ndarray) -> list[float]:
    """Pixel by pixel, window by window, 9 x 9 kernel and all."""
    sigma = 1.4
    half = 4
    kernel = np.zeros((9, 9))
    for i in range(9):
        for j in range(9):
            y, x = i - half, j - half
            density = math.exp(-(y**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
            other = math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
            kernel[i, j] = density * -x * other / sigma**2
    kernel /= math.sqrt((kernel**2).sum())

    def length(matte: np.ndarray) -> np.ndarray:
        padded = np.pad(matte, half, mode="symmetric")
        out = np.zeros(matte.shape)
        for row in range(matte.shape[0]):
            for column in range(matte.shape[1]):
                window = padded[row : row + 9, column : column + 9]
                out[row, column] = math.hypot((window * kernel).sum(), (window * kernel.T).sum())
        return out

    seen = [(r, c) for r in range(a.shape[0]) for c in range(a.shape[1]) if a[r, c] > 0.01]
    errors = [(f[r, c, k] - t[r, c, k]) ** 2 for r, c in seen for k in range(3)]
    return [
        1000 * sum(abs(x - y) for x, y in zip(p.flat, a.flat, strict=True)) / p.size,
        1000 * sum((x - y) ** 2 for x, y in zip(p.flat, a.flat, strict=True)) / p.size,
        ((length(a) - length(p)) ** 2).sum() / 1000,
        1000 * sum(errors) / len(errors) if errors else 0.0,
    ]


@pytest.mark.parametrize("size", [(12, 17), (31, 24), (40, 9)])
def test_all_four_agree_with_the_text(size: tuple[int, int]) -> None:
    """MAD, MSE, GRAD and foreground MSE equal a loop over every pixel to 1e-9."""
    random = np.random.default_rng(size[0])
    p, a = random.random(size), random.random(size) * (random.random(size) > 0.3)
    f, t = random.random((*size, 3)), random.random((*size, 3))
    found = score(p, f, a, t)
    expected = by_the_text(p, f, a, t)
    assert [
        found.alpha_mad,
        found.alpha_mse,
        found.alpha_grad,
        found.foreground_mse,
    ] == pytest.approx(expected, rel=1e-9)


mattes = hnp.arrays(np.float32, (14, 19), elements=st.floats(0, 1, width=32))


@settings(deadline=None)
@given(matte=mattes)
def test_the_truth_itself_scores_zero(matte: np.ndarray) -> None:
    """A perfect prediction has no error of any kind."""
    colour = np.repeat(matte[..., None], 3, 2)
    assert set(vars(score(matte, colour, matte, colour)).values()) == {0.0}


@settings(deadline=None)
@given(one=mattes, other=mattes)
def test_errors_have_no_direction_and_survive_mirroring(one: np.ndarray, other: np.ndarray) -> None:
    """Alpha's errors are the same both ways round, and in a mirror."""
    colour = np.zeros((14, 19, 3), np.float32)
    there = score(one, colour, other, colour)
    back = score(other, colour, one, colour)
    mirrored = score(one[:, ::-1], colour, other[:, ::-1], colour)
    for key in ("alpha_mad", "alpha_mse", "alpha_grad"):
        assert getattr(there, key) == pytest.approx(getattr(back, key), rel=1e-9, abs=1e-12)
        assert getattr(there, key) == pytest.approx(getattr(mirrored, key), rel=1e-9, abs=1e-12)


def test_foreground_counts_only_where_the_truth_shows_it() -> None:
    """Where the true alpha is at most 0.01 the foreground may be anything."""
    truth = np.zeros((4, 4), np.float32)
    truth[0, 0], truth[1, 1] = 1.0, 0.01
    wrong = np.ones((4, 4, 3), np.float32)
    right = np.zeros((4, 4, 3), np.float32)
    assert score(truth, wrong, truth, right).foreground_mse == pytest.approx(1000)
    wrong[0, 0] = 0
    assert score(truth, wrong, truth, right).foreground_mse == 0


def test_the_plain_key_is_a_ramp_of_the_largest_difference() -> None:
    """0 up to 0.05, 1 from 0.20 on, straight in between."""
    bgr = np.zeros((1, 4, 3), np.uint8)
    src = bgr.copy()
    src[0, :, 1] = [0, 12, 32, 255]
    assert plain_key(src, bgr)[0].tolist() == pytest.approx(
        [0, 0, (32 / 255 - 0.05) / 0.15, 1], abs=1e-6
    )
