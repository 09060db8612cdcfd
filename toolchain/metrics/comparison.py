"""One variant against the network in float64 and against the original, summed over frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from toolchain.catalog.records import Limit, Limits
from toolchain.definitions.metrics import (
    GRADE_LIMITS,
    GRADES,
    Grade,
    max_error_of,
    rms_error_of,
)
from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import Variant
from toolchain.errors import ValidationError
from toolchain.metrics.differences import Differences, mask_outside
from toolchain.metrics.errors import INNER, Errors, Observed, OwnErrors, TensorError, stages_as_json
from toolchain.metrics.score import Matte, mean_scores, published_scores
from toolchain.metrics.verdict import (
    compare_metrics,
    compute_bounds,
    find_failures,
    find_passing_limits,
    get_metric_bases,
    ratio_to_bound,
    select_run_limits,
)


class InferenceLike(Observed, Protocol):
    """The attributes of an inference that are used here, see `runtimes.base.Inference`."""

    @property
    def exact(self) -> bool:
        """Whether reading inner tensors did not change the outputs."""


@dataclass(frozen=True)
class ComparisonResult:
    """Result of a comparison.

    Attributes:
        figures: Value by figure, see `definitions.metrics.FIGURES`.
        bases: Base of relative limits by figure.
        details: Everything else, for JSON.
        failures: What is wrong, one sentence each, exceeded limits included.
        faults: The failures that no conditioning of the weights can excuse.
    """

    figures: dict[str, float | None]
    bases: dict[str, float | None]
    details: dict[str, Any]
    failures: tuple[str, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """One frame through the network in float64 and through the original.

    Attributes:
        exact: The network in float64.
        original: The original, PyTorch at float32.
        matte: The original's outputs as a matte.
        truth: Ground truth, None if it is not known.
    """

    exact: InferenceLike
    original: InferenceLike
    matte: Matte
    truth: Matte | None


class Scores:
    """Means of the published metrics over the frames that have a ground truth."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []

    def add(self, matte: Matte, truth: Matte | None) -> None:
        """Add one frame; a frame without ground truth is ignored."""
        if truth is not None:
            self._rows.append(published_scores(matte, truth))

    def mean(self) -> dict[str, float] | None:
        """Mean by metric, None if no frame has a ground truth."""
        return mean_scores(self._rows)


class Comparison:
    """Sums over frames for one variant."""

    def __init__(self, variant: Variant, limits: Limits | None) -> None:
        self._variant = variant
        self._limits = limits
        self._errors = Errors()
        self._everywhere = {name: Differences() for name in OUTPUTS}
        self._same_patches = {name: Differences() for name in OUTPUTS}
        self._truth = Scores()
        self._different = self._patches = self._refined = 0
        self._exact = True

    def add(self, found: InferenceLike, reference: Reference) -> float:
        """Add one frame.

        Returns:
            The largest error of an output on this frame.

        Raises:
            ValidationError: An output has another shape than the original's.
        """
        original = reference.original
        for name in OUTPUTS:
            shape, expected = getattr(found, name).shape, getattr(original, name).shape
            if shape != expected:
                raise ValidationError(
                    f"{self._variant.form}: {name} has shape {shape}, expected {expected}",
                    hint="Export and convert again for this size.",
                )
        different = found.ref != original.ref
        self._different += int(different.sum())
        self._patches += different.size
        self._refined += int(found.ref.sum())
        self._exact &= found.exact
        same = mask_outside(different) if different.any() else None
        for name in OUTPUTS:
            one, other = getattr(original, name), getattr(found, name)
            sums = self._everywhere[name].add(one, other)
            if same is None:
                self._same_patches[name].include(sums)
            else:
                self._same_patches[name].add(one, other, same)
        largest = self._errors.add(reference.exact, found)
        self._truth.add(Matte(found.pha, found.fgr), reference.truth)
        return largest

    def result(self, original: Scores, own: OwnErrors) -> ComparisonResult:
        """Compare the figures with the limits.

        Args:
            original: Metrics of the original on the same frames.
            own: Errors of the original against the network in float64.
        """
        figures: dict[str, float | None] = {}
        bases: dict[str, float | None] = {}
        details: dict[str, Any] = {"outputs": {}}
        faults = []
        errors = self._errors.result()
        for name in OUTPUTS:
            near, far = self._same_patches[name].total(), self._everywhere[name].total()
            figures[f"{name}_max_abs"] = near.max_abs
            figures[f"{name}_mean_abs"] = near.mean_abs
            details["outputs"][name] = {
                "outside_different_patches": asdict(near),
                "everywhere": asdict(far),
            }
            if not far.finite:
                faults.append(f"{name} has NaN or infinite values")
            _enter(figures, bases, name, (errors[name].max, errors[name].rms), own[name])
        self._enter_inner(figures, bases, errors, own)
        figures["different_patches"] = self._different / self._patches
        before, after = original.mean(), self._truth.mean()
        if before is not None and after is not None:
            figures.update(compare_metrics(before, after))
            bases.update(get_metric_bases(before))
        details["grade"] = compute_grade(figures)
        details["metrics"] = after
        details["patches"] = {
            "compared": self._patches,
            "refined": self._refined,
            "chosen_differently": self._different,
            "read_from_identical_run": self._exact,
        }
        details["stages"] = stages_as_json(errors, own)
        if self._limits is None:
            faults.append(f"model.yml has no limits for {self._variant.anywhere}")
            return ComparisonResult(figures, bases, details, tuple(faults), tuple(faults))
        # Metrics are compared only if a frame has a ground truth.
        limits = select_run_limits(self._limits, truth=before is not None)
        exceeded = [str(failure) for failure in find_failures(limits, figures, bases)]
        details["limits"] = {
            "reason": limits.reason,
            "bounds": compute_bounds(limits, bases),
            "would_pass": find_passing_limits(limits, figures),
        }
        return ComparisonResult(figures, bases, details, (*faults, *exceeded), tuple(faults))

    def _enter_inner(
        self,
        figures: dict[str, float | None],
        bases: dict[str, float | None],
        errors: Mapping[str, TensorError],
        own: OwnErrors,
    ) -> None:
        """Record the inner tensor that is the largest multiple of its bound."""
        known = [name for name in INNER if name in errors and name in own]
        limits = {} if self._limits is None else self._limits.by_figure
        for place, key in enumerate((max_error_of("inner"), rms_error_of("inner"))):
            limit = limits.get(key, Limit(relative=1.0))
            pairs = [
                ((errors[name].max, errors[name].rms)[place], own[name][place]) for name in known
            ]
            if pairs:
                found, base = max(
                    pairs, key=lambda pair: ratio_to_bound(pair[0], limit.bound(pair[1]))
                )
                figures[key], bases[key] = found, base


def _enter(
    figures: dict[str, float | None],
    bases: dict[str, float | None],
    target: str,
    found: tuple[float, float],
    own: tuple[float, float],
) -> None:
    for key, value, base in zip(
        (max_error_of(target), rms_error_of(target)), found, own, strict=True
    ):
        figures[key], bases[key] = value, base


def compute_grade(figures: Mapping[str, float | None]) -> Grade:
    """Grade a variant by its mean difference from the original, of the worse output."""
    means = [figures[f"{name}_mean_abs"] or 0.0 for name in OUTPUTS]
    fits = (grade for grade, limit in GRADE_LIMITS if all(mean <= limit for mean in means))
    return next(fits, GRADES[-1])
