"""The interface of every runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from toolchain.definitions.arrays import AnyFloats, Floats, Mask, Pixels
from toolchain.definitions.ports import CELL
from toolchain.errors import ValidationError

CHANNELS = 3


@dataclass(frozen=True)
class Inference:
    """Outputs of one inference.

    Attributes:
        pha: Alpha, H x W, 0..1; float32, or float64 from a network in float64.
        fgr: Foreground, H x W x 3, RGB, 0..1; of the same type.
        ref: H/4 x W/4, true where a patch was refined.
        exact: Whether the model that also returns inner tensors gave bit-identical pha and fgr to
            the unchanged model; if not, pha and fgr are those of the unchanged model.
        inner: Inner tensors of `definitions.ports.PROBES` that the model has, 1 x C x h x w.
    """

    pha: AnyFloats
    fgr: AnyFloats
    ref: Mask
    exact: bool = True
    inner: Mapping[str, AnyFloats] = field(default_factory=dict)


class Runtime(Protocol):
    """A loaded model."""

    @property
    def executed(self) -> str:
        """Precision that the runtime computes in: "f32", "bf16" or "f16"."""

    @property
    def conditions(self) -> Mapping[str, Any]:
        """Runtime, version, device, and the requested and the executed precision; for JSON."""

    def infer(self, src: Pixels, bgr: Pixels) -> Inference:
        """Run the model on one frame.

        Args:
            src: The frame, H x W x 3 uint8 RGB of the model's size.
            bgr: The clean plate, likewise.
        """


def to_planes(frame: Pixels) -> Floats:
    """Convert H x W x 3 uint8 to 1 x 3 x H x W float32, 0..255, in the same channel order."""
    return np.ascontiguousarray(frame.transpose(2, 0, 1)[None], dtype=np.float32)


def require_size(file: Path, shape: Sequence[int], frame: Pixels) -> None:
    """Check that a model accepts a frame of this size.

    Args:
        file: File of the model, for the message.
        shape: Shape of the model's input, 1 x 3 x H x W or 1 x H x W x 3.
        frame: The frame, H x W x 3.

    Raises:
        ValidationError: The sizes differ.
    """
    high, wide = shape[1:3] if shape[3] == CHANNELS else shape[2:]
    height, width = frame.shape[:2]
    if [high, wide] != [height, width]:
        raise ValidationError(
            f"{file}: takes frames of {wide}x{high}, expected {width}x{height}",
            hint="Export and convert again for this size.",
        )


def to_inference(
    pha: AnyFloats, fgr: AnyFloats, inner: Mapping[str, AnyFloats], *, exact: bool = True
) -> Inference:
    """Build an Inference from tensors in the network's layout, 1 x C x H x W.

    Args:
        pha: Alpha.
        fgr: Foreground.
        inner: Inner tensors by name.  Without "ref_sm" every patch counts as refined.
        exact: See `Inference.exact`.
    """
    ref = inner.get("ref_sm")
    cells = pha.shape[2] // CELL, pha.shape[3] // CELL
    return Inference(
        pha=np.array(pha[0, 0]),
        fgr=np.ascontiguousarray(fgr[0].transpose(1, 2, 0)),
        ref=np.ones(cells, np.bool_) if ref is None else ref[0, 0] > 0,
        exact=exact,
        inner=inner,
    )


def have_same_bits(one: Floats, other: Floats) -> bool:
    """Whether two float32 arrays are identical to the bit."""
    return one.shape == other.shape and bool(
        np.array_equal(one.view(np.uint32), other.view(np.uint32))
    )
