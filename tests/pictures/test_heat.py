"""Heat maps: levels, colours and the legend."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.browser import decoded
from toolchain.pictures.heat import gradient, heat, levels, palette, ticks

unit = st.floats(0, 1, width=32)


@given(unit, unit)
def test_more_heat_is_never_a_lower_level(one: float, other: float) -> None:
    """Levels are monotonic in the difference."""
    low, high = levels(np.array([sorted((one, other))], np.float32))[0]
    assert low <= high < len(palette()) - 1


def test_the_scale_runs_from_dark_to_light_and_nan_has_a_colour_of_its_own() -> None:
    """Its ends are those of the legend, and lightness is monotonic."""
    found = levels(np.array([[0, 9e-6, 1.1e-5, 1, np.nan, np.inf]], np.float32))[0]
    assert found.tolist() == [0, 0, 1, len(palette()) - 2, len(palette()) - 1, len(palette()) - 1]
    light = palette()[:-1] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) > 0).all()
    assert [power for _, power in ticks()] == [-5, -4, -3, -2, -1, 0]
    assert [place for place, _ in ticks()][-1] == gradient()[-1][0] == 1
    shown = decoded(heat(np.array([[0, np.nan]], np.float32)), "RGB")
    assert shown[0].tolist() == [palette()[0].tolist(), palette()[-1].tolist()]
