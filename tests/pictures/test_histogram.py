"""Histograms of differences: bins and sums over frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from toolchain.pictures.histogram import BINS, Counts

unit = st.floats(0, 1, width=32)


@given(arrays.arrays(np.float32, st.integers(1, 50), elements=unit))
def test_a_histogram_counts_every_value_once(values: np.ndarray) -> None:
    """The shares sum to 1 and do not depend on the split into frames."""
    whole, parts = Counts(), Counts()
    whole.add(values)
    for part in np.array_split(values, 3):
        parts.add(part)
    assert parts.total() == whole.total()
    assert sum(whole.total().shares) == pytest.approx(1)
    assert whole.total().values == values.size


def test_histogram_bins_are_quarters_of_a_decade() -> None:
    """0 and differences below 1e-8 are in the first bin, 1 and NaN in the last."""
    counts = Counts()
    counts.add(np.array([0, 5e-9, 1.5e-8, 0.4, 0.6, 1, np.nan], np.float32))
    shares = [round(share * 7) for share in counts.total().shares]
    assert (shares[0], shares[1], shares[-2], shares[-1]) == (2, 1, 1, 3)
    assert len(shares) == BINS
    counts = Counts()
    counts.add(np.ones((2, 2), np.float32), np.zeros((2, 2), np.bool_))
    assert set(counts.total().shares) == {0}
