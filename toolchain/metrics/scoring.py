"""Every metric of the evaluation for one frame: the published four, SAD and Conn."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from toolchain.metrics.connectivity import connectivity_error
from toolchain.metrics.matte_errors import Matte, compare

WHOLE = "over the whole frame"
SCALES = {
    "alpha_mad": f"1000 mean |p - A|, {WHOLE}",
    "alpha_mse": f"1000 mean (p - A)^2, {WHOLE}",
    "alpha_grad": f"sum (|grad A| - |grad p|)^2 / 1000, {WHOLE}; grows with its area",
    "foreground_mse": "1000 mean (f - F)^2 over all channels, where A > 0.01",
    "alpha_sad": f"sum |p - A| / 1000, {WHOLE}; grows with its area",
    "alpha_conn": f"sum |phi(p) - phi(A)| / 1000 (Rhemann et al., CVPR 2009; steps of 0.1, "
    f"theta 0.15, 4-connected), {WHOLE}; grows with its area",
}
METRICS = tuple(SCALES)
LABELS = {
    "alpha_mad": "MAD",
    "alpha_mse": "MSE",
    "alpha_grad": "GRAD",
    "foreground_mse": "fgr MSE",
    "alpha_sad": "SAD",
    "alpha_conn": "Conn",
}


def scores(predicted: Matte, truth: Matte) -> tuple[float, ...]:
    """One frame's errors in the order of METRICS; both mattes of the truth's size.

    `SCALES` says of each what it is, over which region, on which scale.
    """
    published = compare(predicted, truth)
    return (
        *astuple(published),
        published.alpha_mad * truth.alpha.size / 1e6,
        connectivity_error(predicted.alpha, truth.alpha) / 1000,
    )


def is_finite(predicted: Matte) -> bool:
    """Whether no value is NaN or infinite."""
    # A sum of mattes is finite if all its terms are, and far cheaper than a look at each.
    sums = (values.sum() for values in (predicted.alpha, predicted.foreground))
    return all(bool(np.isfinite(value)) for value in sums)
