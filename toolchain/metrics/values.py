"""Conversion of mattes and colours from the types of files to those of metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Doubles

Values = npt.NDArray[Any]  # of floats 0..1, or of uint8 0..255


def as_doubles(values: Values) -> Doubles:
    """Floats 0..1 or uint8 0..255 -> float64, 0..1."""
    if values.dtype == np.uint8:
        return np.asarray(values / np.float64(255), np.float64)
    return np.asarray(values, np.float64)
