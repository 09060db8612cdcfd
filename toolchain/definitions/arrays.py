"""Names of the array types that the modules share.  The only module here that needs numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]  # H x W x 3, RGB, 0..255, unless stated otherwise
Floats = npt.NDArray[np.float32]
AnyFloats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
