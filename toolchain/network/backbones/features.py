"""Output of a backbone."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

FRAME_CHANNELS = 6  # channels of frame and clean plate together, the backbone's input


class Features(NamedTuple):
    """Features at five strides, float32.  Channels are those of the `Architecture`.

    Attributes:
        x1: The input itself, B x 6 x H x W.
        x2: B x C x H/2 x W/2.
        x4: B x C x H/4 x W/4.
        x8: B x C x H/8 x W/8.
        x16: The output, B x C x H/16 x W/16.
    """

    x1: Tensor
    x2: Tensor
    x4: Tensor
    x8: Tensor
    x16: Tensor
