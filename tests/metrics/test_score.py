"""The published metrics, against a second implementation written from their text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.support.second import by_the_text
from toolchain.definitions.metrics import METRIC_KEYS
from toolchain.metrics.score import FUNCTIONS, Matte, all_scores, published_scores


def score(p: np.ndarray, f: np.ndarray, a: np.ndarray, t: np.ndarray) -> dict[str, float]:
    return published_scores(Matte(p, f), Matte(a, t))


def test_every_metric_of_the_table_is_computed() -> None:
    """A metric without a function, or a function without a metric, would be left out."""
    assert tuple(FUNCTIONS) == METRIC_KEYS
    alpha, colour = np.ones((20, 20)), np.ones((20, 20, 3))
    assert all_scores(Matte(alpha, colour), Matte(alpha, colour)) == (0.0,) * len(METRIC_KEYS)


@pytest.mark.parametrize("size", [(12, 17), (31, 24), (40, 9)])
def test_all_four_agree_with_the_text(size: tuple[int, int]) -> None:
    """MAD, MSE, GRAD and foreground MSE equal a loop over every pixel to 1e-9."""
    random = np.random.default_rng(size[0])
    p, a = random.random(size), random.random(size) * (random.random(size) > 0.3)
    f, t = random.random((*size, 3)), random.random((*size, 3))
    found = score(p, f, a, t)
    expected = by_the_text(p, f, a, t)
    assert list(found.values()) == pytest.approx(expected, rel=1e-9)


mattes = hnp.arrays(np.float32, (14, 19), elements=st.floats(0, 1, width=32))


@settings(deadline=None)
@given(matte=mattes)
def test_the_truth_itself_scores_zero(matte: np.ndarray) -> None:
    """A perfect prediction has no error of any kind."""
    colour = np.repeat(matte[..., None], 3, 2)
    assert set(score(matte, colour, matte, colour).values()) == {0.0}


@settings(deadline=None)
@given(one=mattes, other=mattes)
def test_errors_have_no_direction_and_survive_mirroring(one: np.ndarray, other: np.ndarray) -> None:
    """Alpha's errors are the same both ways round, and in a mirror."""
    colour = np.zeros((14, 19, 3), np.float32)
    there = score(one, colour, other, colour)
    back = score(other, colour, one, colour)
    mirrored = score(one[:, ::-1], colour, other[:, ::-1], colour)
    for key in ("alpha_mad", "alpha_mse", "alpha_grad"):
        assert there[key] == pytest.approx(back[key], rel=1e-9, abs=1e-12)
        assert there[key] == pytest.approx(mirrored[key], rel=1e-9, abs=1e-12)


def test_foreground_counts_only_where_the_truth_shows_it() -> None:
    """Where the true alpha is at most 0.01 the foreground may be anything."""
    truth = np.zeros((4, 4), np.float32)
    truth[0, 0], truth[1, 1] = 1.0, 0.01
    wrong = np.ones((4, 4, 3), np.float32)
    right = np.zeros((4, 4, 3), np.float32)
    assert score(truth, wrong, truth, right)["foreground_mse"] == pytest.approx(1000)
    wrong[0, 0] = 0
    assert score(truth, wrong, truth, right)["foreground_mse"] == 0
