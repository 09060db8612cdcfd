"""Map of the refined 4x4 patches over the frame, by the model that refined them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Mask, Pixels
from toolchain.pictures.encode import photo

BOTH, ORIGINAL_ONLY, MODEL_ONLY = (242, 184, 72), (240, 74, 110), (64, 170, 255)
FRAME_SHARE = 0.3  # brightness of the frame, in grey, behind the map


def patch_map(src: Pixels, original: Mask, other: Mask) -> str:
    """Draw the frame (H x W x 3, RGB) in dark grey, one pixel per patch, refined patches coloured.

    `original`, `other`: H/4 x W/4.  Patches that both refined are amber, those of the original
    alone red, those of the other alone blue.
    """
    return photo(patch_colours(src, original, other))


def patch_colours(src: Pixels, original: Mask, other: Mask) -> Pixels:
    """The picture of `patch_map` as H/4 x W/4 x 3 pixels."""
    height, width = original.shape
    grey = Image.fromarray(src).convert("L").resize((width, height), Image.Resampling.BOX)
    picture = np.repeat(np.asarray(grey)[..., None] * FRAME_SHARE, 3, axis=2).astype(np.uint8)
    picture[original & other] = BOTH
    picture[original & ~other] = ORIGINAL_ONLY
    picture[other & ~original] = MODEL_ONLY
    return picture
