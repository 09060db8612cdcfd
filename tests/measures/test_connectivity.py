"""Connectivity error, against a second implementation written from the paper's text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from toolchain.measures.connectivity import connectivity_error


def by_the_paper(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Level by level: flood each region pixel by pixel, keep the largest, note who left it."""
    height, width = truth.shape
    l_map = np.full(truth.shape, -1.0)
    for step in range(1, 11):
        mask = (predicted >= step / 10) & (truth >= step / 10)
        best: list[tuple[int, int]] = []
        seen = np.zeros(truth.shape, bool)
        for start in zip(*np.nonzero(mask), strict=True):
            if seen[start]:
                continue
            region, border = [], [start]
            seen[start] = True
            while border:
                row, column = border.pop()
                region.append((row, column))
                for r, c in (
                    (row - 1, column),
                    (row + 1, column),
                    (row, column - 1),
                    (row, column + 1),
                ):
                    inside = 0 <= r < height and 0 <= c < width
                    if inside and mask[r, c] and not seen[r, c]:
                        seen[r, c] = True
                        border.append((r, c))
            if len(region) > len(best):
                best = region
        omega = np.zeros(truth.shape, bool)
        for pixel in best:
            omega[pixel] = True
        l_map[(l_map == -1) & ~omega] = (step - 1) / 10
    l_map[l_map == -1] = 1
    phi = []
    for alpha in (predicted, truth):
        distance = alpha - l_map
        phi.append(1 - distance * (distance >= 0.15))
    return float(np.abs(phi[0] - phi[1]).sum())


# Values on and between the levels, and exactly at them.
values = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.55, 0.6, 0.7, 1.0]), st.floats(0, 1))
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float64, shape, elements=values),
        hnp.arrays(np.float64, shape, elements=values),
    )
)


@settings(deadline=None, max_examples=200)
@given(pair=pairs)
def test_any_two_mattes_agree_with_the_paper(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Regions by runs and regions by flooding give the same error to 1e-9."""
    found = connectivity_error(*pair)
    assert found == pytest.approx(by_the_paper(*pair), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_mattes_of_blobs_agree_with_the_paper(seed: int) -> None:
    """So do large connected shapes with soft edges and specks beside them."""
    random = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter((random.random((40, 60)) > 0.5).astype(float), 2)
    truth = np.clip((truth - 0.4) * 5, 0, 1)
    predicted = np.clip(truth + random.normal(0, 0.2, truth.shape), 0, 1)
    found = connectivity_error(predicted, truth)
    assert found > 1
    assert found == pytest.approx(by_the_paper(predicted, truth), rel=1e-9)


def test_a_speck_apart_counts_and_a_speck_attached_does_not() -> None:
    """A pixel that is not connected to the figure is an error; the same pixel beside it is none."""
    truth = np.zeros((9, 9))
    truth[2:5, 2:5] = 1
    apart, attached = truth.copy(), truth.copy()
    apart[7, 7] = attached[5, 3] = 1
    assert connectivity_error(apart, truth) == pytest.approx(1)
    both = truth.copy()
    both[5, 3] = 1
    assert connectivity_error(attached, both) == 0
    assert connectivity_error(truth, truth) == 0
    assert connectivity_error(np.zeros((3, 3)), np.zeros((3, 3))) == 0
