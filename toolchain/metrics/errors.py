"""Errors of a run against the network in float64, for outputs and for tensors between its stages.

The original (PyTorch at float32) has such an error too.  It measures the effect of rounding with
the given weights: the error of every correct float32 implementation is about as large.  Limits are
therefore multiples of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from toolchain.definitions.arrays import AnyFloats, Mask
from toolchain.definitions.ports import OUTPUTS
from toolchain.metrics.differences import Difference, Differences, mask_outside

# The stages of the network in order, with the tensors that each passes on.
STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("downsample", ("src_bgr_sm",)),
    ("base", ("pha_sm", "res_sm", "err_sm", "hid_sm")),
    ("selection", ("ref_sm",)),
    ("refiner", ("refined",)),
    ("merge", OUTPUTS),
)
INNER = ("src_bgr_sm", "pha_sm", "res_sm", "err_sm", "hid_sm", "refined")
UNIT_RANGE = ("src_bgr_sm", "pha_sm", "err_sm", *OUTPUTS)  # values 0..1 whatever the weights are
REFINED = "refined"  # only defined in the patches that were refined
# Above this error of float32 itself, on values 0..1, mattes of two runs differ visibly: a
# comparison at float32 cannot distinguish rounding from a fault.
ILL_CONDITIONED = 1e-3
FIGURES = ("max_abs", "mean_abs", "rmse", "psnr", "finite")


class Observed(Protocol):
    """The attributes of an inference that are used here, see `runtimes.base.Inference`."""

    @property
    def pha(self) -> AnyFloats:
        """H x W, 0..1."""

    @property
    def fgr(self) -> AnyFloats:
        """H x W x 3, RGB, 0..1."""

    @property
    def ref(self) -> Mask:
        """H/4 x W/4, true where a patch was refined."""

    @property
    def inner(self) -> Mapping[str, AnyFloats]:
        """Tensors between the stages, 1 x C x h x w."""


@dataclass(frozen=True)
class TensorError:
    """Error of one tensor over all frames, on the tensor's own scale.

    Attributes:
        difference: Absolute differences.
        scale: 1 for tensors of values 0..1, else the largest absolute value of the tensor.
    """

    difference: Difference
    scale: float

    @property
    def max(self) -> float:
        """Largest error relative to the scale."""
        return self.difference.max_abs / self.scale

    @property
    def rms(self) -> float:
        """Root mean square error relative to the scale."""
        return self.difference.rmse / self.scale


class Errors:
    """Errors of one run, summed up over frames.

    Outputs are compared outside patches that were chosen differently: there only one side is
    refined, which is not a numeric error.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Differences] = {}
        self._scales: dict[str, float] = {}

    def add(self, reference: Observed, found: Observed) -> float:
        """Add one frame.

        Args:
            reference: The network in float64.
            found: The run.  A tensor of another shape is left out.

        Returns:
            The largest error of an output on this frame.
        """
        different = found.ref != reference.ref
        same = mask_outside(different) if different.any() else None
        largest = 0.0
        for name in OUTPUTS:
            sums = self._of(name).add(getattr(reference, name), getattr(found, name), same)
            largest = max(largest, sums.largest)
        for _, names in STAGES[:-1]:
            for name in names:
                one, other = reference.inner.get(name), found.inner.get(name)
                if one is None or other is None or one.shape != other.shape:
                    continue
                if name == REFINED:
                    both = ~mask_outside(reference.ref & found.ref)
                    one, other = one[0][:, both], other[0][:, both]
                self._of(name).add(one, other)
                size = float(np.abs(one).max(initial=0.0))
                self._scales[name] = max(self._scales.get(name, 0.0), size)
        return largest

    def result(self) -> dict[str, TensorError]:
        """The errors by tensor."""
        return {
            name: TensorError(
                sums.total(), 1.0 if name in UNIT_RANGE else self._scales.get(name, 0.0) or 1.0
            )
            for name, sums in self._sums.items()
        }

    def _of(self, name: str) -> Differences:
        return self._sums.setdefault(name, Differences())


OwnErrors = Mapping[str, tuple[float, float]]  # largest and rms error of the original, by tensor


def combine_own_errors(samples: Iterable[Errors]) -> dict[str, tuple[float, float]]:
    """Combine the errors of the original from several equivalent computations.

    Each computation is one sample of the effect of rounding. The largest error is taken: a tensor
    that one of them happens to compute exactly would get a limit that no other implementation
    meets.
    """
    combined: dict[str, tuple[float, float]] = {}
    for sample in samples:
        for name, error in sample.result().items():
            largest, rms = combined.get(name, (0.0, 0.0))
            combined[name] = max(largest, error.max), max(rms, error.rms)
    return combined


def is_ill_conditioned(own: OwnErrors) -> bool:
    """Whether the error of the original is too large for a comparison at float32."""
    return any(not own[name][0] <= ILL_CONDITIONED for name in OUTPUTS if name in own)


def stages_as_json(errors: Mapping[str, TensorError], own: OwnErrors) -> list[dict[str, Any]]:
    """Build rows for JSON in the order of the network; the first outlier is the faulty stage.

    `own_max_abs`, `own_rmse`: the same error of the original, on the same absolute scale.
    """
    rows = []
    for stage, names in STAGES:
        tensors = []
        for name in names:
            if name not in errors:
                continue
            error = errors[name]
            largest, rms = own.get(name, (0.0, 0.0))
            tensors.append(
                {
                    "name": name,
                    **{key: getattr(error.difference, key) for key in FIGURES},
                    "own_max_abs": largest * error.scale,
                    "own_rmse": rms * error.scale,
                }
            )
        limit = max((row["max_abs"] for row in tensors), default=None)
        rows.append({"name": stage, "tensors": tensors, "would_pass": limit})
    return rows
