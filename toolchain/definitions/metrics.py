"""Metrics against a ground truth, figures that limits of model.yml may name, and grades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["A", "B", "C"]
GRADES: tuple[Grade, ...] = ("A", "B", "C")  # best first
# Largest mean difference of a grade: a quarter step and one step of an 8-bit image; C has none.
GRADE_LIMITS: tuple[tuple[Grade, float], ...] = (("A", 1 / 1020), ("B", 1 / 255))
_WHOLE = "over the whole frame"


@dataclass(frozen=True)
class Metric:
    """One error of a matte against the ground truth; lower is better.

    Attributes:
        key: Name in JSON records; `metrics.score` computes it under this name.
        label: Short name, for the column of a table.
        title: Name with its scale.
        definition: Formula, region and scale.
        published: Whether the published accuracy table has it.  Validation measures these and
            limits may name them; evaluation measures all metrics.
    """

    key: str
    label: str
    title: str
    definition: str
    published: bool = False


METRICS: tuple[Metric, ...] = (
    Metric(
        "alpha_mad", "MAD", "alpha MAD, \u00d71000", f"1000 mean |p - A|, {_WHOLE}", published=True
    ),
    Metric(
        "alpha_mse",
        "MSE",
        "alpha MSE, \u00d71000",
        f"1000 mean (p - A)^2, {_WHOLE}",
        published=True,
    ),
    Metric(
        "alpha_grad",
        "GRAD",
        "alpha GRAD, /1000",
        f"sum (|grad A| - |grad p|)^2 / 1000, {_WHOLE}; grows with its area",
        published=True,
    ),
    Metric(
        "foreground_mse",
        "fgr MSE",
        "foreground MSE, \u00d71000",
        "1000 mean (f - F)^2 over all channels, where A > 0.01",
        published=True,
    ),
    Metric(
        "alpha_sad",
        "SAD",
        "alpha SAD, /1000",
        f"sum |p - A| / 1000, {_WHOLE}; grows with its area",
    ),
    Metric(
        "alpha_conn",
        "Conn",
        "alpha Conn, /1000",
        "sum |phi(p) - phi(A)| / 1000 (Rhemann et al., CVPR 2009; steps of 0.1, theta 0.15, "
        f"4-connected), {_WHOLE}; grows with its area",
    ),
)
METRIC_KEYS = tuple(metric.key for metric in METRICS)
PUBLISHED_METRICS = tuple(metric for metric in METRICS if metric.published)


@dataclass(frozen=True)
class Figure:
    """One measured value of a variant that a limit in model.yml may bound.

    A limit is the larger of an absolute value and a multiple of the figure's base.

    Attributes:
        key: Name in model.yml and in JSON records.
        label: Name for people.
        base: The value that a relative limit multiplies: "own error" (the same error of the
            original, PyTorch at float32, against the network in float64), "original" (the same
            metric of the original), or "" where only absolute limits make sense.
        needs_truth: Whether it can only be measured on frames with a known ground truth.
        of_layers: Whether it bounds inner tensors (`matting validate --layers`), not a run.
    """

    key: str
    label: str
    base: Literal["own error", "original", ""] = ""
    needs_truth: bool = False
    of_layers: bool = False


ERROR_TARGETS = {"pha": "alpha", "fgr": "foreground", "inner": "inner tensors"}


def max_error_of(target: str) -> str:
    """Key of the figure "largest error against the network in float64"."""
    return f"{target}_max_error"


def rms_error_of(target: str) -> str:
    """Key of the figure "root mean square error against the network in float64"."""
    return f"{target}_rms_error"


def change_of(metric: str) -> str:
    """Key of the figure "absolute difference of a metric from the original's"."""
    return f"{metric}_change"


def increase_of(metric: str) -> str:
    """Key of the figure "metric minus the original's"; negative where it is better."""
    return f"{metric}_worse"


FIGURES: tuple[Figure, ...] = (
    *(
        Figure(key, f"{label}, {kind} error", base="own error")
        for target, label in ERROR_TARGETS.items()
        for key, kind in ((max_error_of(target), "max"), (rms_error_of(target), "rms"))
    ),
    Figure("pha_max_abs", "alpha, max difference"),
    Figure("fgr_max_abs", "foreground, max difference"),
    Figure("pha_mean_abs", "alpha, mean difference"),
    Figure("fgr_mean_abs", "foreground, mean difference"),
    *(
        Figure(key, label, base="original", needs_truth=True)
        for metric in PUBLISHED_METRICS
        for key, label in (
            (change_of(metric.key), f"{metric.label} change"),
            (increase_of(metric.key), f"{metric.label} increase"),
        )
    ),
    Figure("different_patches", "differently chosen patches"),
    Figure("layers_max_rel", "inner tensors, max relative difference", of_layers=True),
)
FIGURE_KEYS = tuple(figure.key for figure in FIGURES)
LABELS = {figure.key: figure.label for figure in FIGURES}
