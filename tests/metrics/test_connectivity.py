"""Connectivity error, against a second implementation written from the paper's text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from tests.support.second import by_the_paper
from toolchain.metrics.connectivity import connectivity_error

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
    """So do large connected shapes with soft edges and separate specks."""
    random = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter((random.random((40, 60)) > 0.5).astype(float), 2)
    truth = np.clip((truth - 0.4) * 5, 0, 1)
    predicted = np.clip(truth + random.normal(0, 0.2, truth.shape), 0, 1)
    found = connectivity_error(predicted, truth)
    assert found > 1
    assert found == pytest.approx(by_the_paper(predicted, truth), rel=1e-9)


def test_a_speck_apart_counts_and_a_speck_attached_does_not() -> None:
    """A pixel that is not connected to the figure is an error, a connected one is not."""
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
