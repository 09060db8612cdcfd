"""The one kind of resize that the network uses."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize B x C x h x w to `size` (height, width); half-pixel centres, no antialiasing."""
    if (x.shape[2], x.shape[3]) == size:
        return x
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)
