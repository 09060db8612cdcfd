"""Which of the network's stages a difference arose in: sums per stage and tensor.

Downsample -> base -> selection -> refiner -> merge.  Each is measured with what the stages before
it did, so the first stage that stands out is the one to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from toolchain.definitions.arrays import Floats, Mask
from toolchain.metrics.differences import Difference, Differences, outside

INNER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("downsample", ("src_bgr_sm",)),
    ("base", ("pha_sm", "res_sm", "err_sm", "hid_sm")),
    ("selection", ("ref_sm",)),
    ("refiner", ("refined",)),
)
REFINED = "refined"  # holds only in the patches that were refined
LIMIT = 1 / 255  # one step of an 8-bit picture; `over` is not written
KEPT = ("max_abs", "mean_abs", "rmse", "psnr", "finite")


class Observed(Protocol):
    """What is needed of an inference: see `runtimes.base.Inference`."""

    @property
    def ref(self) -> Mask:
        """H/4 x W/4, true where a patch was refined."""

    @property
    def inner(self) -> Mapping[str, Floats]:
        """Tensors between the stages, 1 x C x h x w."""


class Stagewise:
    """Sums over frames of the tensors that both sides have."""

    def __init__(self) -> None:
        self._sums: dict[str, Differences] = {}

    def add(self, reference: Observed, found: Observed) -> None:
        """One frame.  A tensor of another shape is left out: it is another tensor."""
        for _, names in INNER:
            for name in names:
                one, other = reference.inner.get(name), found.inner.get(name)
                if one is None or other is None or one.shape != other.shape:
                    continue
                sums = self._sums.setdefault(name, Differences(LIMIT))
                if name != REFINED:
                    sums.add(one, other)
                    continue
                both = ~outside(reference.ref & found.ref)
                sums.add(one[0][:, both], other[0][:, both])

    def result(self, merged: Mapping[str, Difference]) -> list[dict[str, Any]]:
        """Rows in the network's order; `merged`: the outputs' own differences, the last stage.

        `would_pass`: the smallest limit on max_abs that all of the stage's tensors keep.
        """
        rows = []
        for stage, names in (*INNER, ("merge", tuple(merged))):
            found = {
                name: merged[name] if stage == "merge" else self._sums[name].total()
                for name in names
                if name in self._sums or stage == "merge"
            }
            tensors = [
                {"name": name, **{key: getattr(item, key) for key in KEPT}}
                for name, item in found.items()
            ]
            limit = max((item.max_abs for item in found.values()), default=None)
            rows.append({"name": stage, "tensors": tensors, "would_pass": limit})
        return rows
