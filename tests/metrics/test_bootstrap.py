"""Bootstrap intervals: seeded, by clip where there are clips, and as wide as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.metrics.bootstrap import (
    CLIPS_ENOUGH,
    choose_unit,
    compute_interval,
    describe_interval,
)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others() -> None:
    """Nothing but values, clips and seed counts."""
    values = np.random.default_rng(0).random((40, 3))
    clips = np.zeros(40, np.intp)
    one, same, other = (compute_interval(values, clips, seed) for seed in (7, 7, 8))
    assert np.array_equal(one.low, same.low)
    assert np.array_equal(one.high, same.high)
    assert not np.array_equal(one.low, other.low)


def test_the_bounds_are_those_of_the_mean() -> None:
    """For many normal values they are about 1.96 standard errors from it, on both sides."""
    values = np.random.default_rng(1).normal(5, 2, (400, 1))
    found = compute_interval(values, np.zeros(400, np.intp), 1)
    error = 1.96 * values.std() / 20
    assert found.low[0] == pytest.approx(values.mean() - error, abs=0.03)
    assert found.high[0] == pytest.approx(values.mean() + error, abs=0.03)
    plain = compute_interval(np.full((9, 2), 0.25), np.zeros(9, np.intp), 1)
    assert plain.low.tolist() == plain.high.tolist() == [0.25, 0.25]


def test_frames_of_one_clip_are_drawn_together() -> None:
    """Where clips differ and frames of one do not, drawing clips gives the wider, honest bounds."""
    random = np.random.default_rng(2)
    clips = np.repeat(np.arange(12), 30)
    values = (random.normal(0, 1, 12)[clips] + random.normal(0, 0.01, 360))[:, None]
    by_clip = compute_interval(values, clips, 3)
    by_frame = compute_interval(values, np.zeros(360, np.intp), 3)
    assert by_clip.high[0] - by_clip.low[0] > 3 * (by_frame.high[0] - by_frame.low[0])


def test_the_sentence_names_unit_and_seed() -> None:
    """Clips are resampled from eight on, unless each is a single frame."""
    assert choose_unit(np.repeat(np.arange(CLIPS_ENOUGH), 2)) == "clip"
    assert choose_unit(np.repeat(np.arange(CLIPS_ENOUGH - 1), 2)) == "frame"
    assert choose_unit(np.arange(50)) == "frame"
    assert "draw clips with replacement, seed 5" in describe_interval("clip", 5)
    assert "few clips make the true interval wider" in describe_interval("frame", 5)
