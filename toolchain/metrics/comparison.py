"""One form of the model against the original: sums over frames, figures, failures.

Patches that top-k chose differently are counted and shown apart: there one side is refined and
the other is not, which is no numeric error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from toolchain.catalog.records import Limits
from toolchain.definitions.arrays import Floats
from toolchain.definitions.ports import OUTPUTS
from toolchain.errors import ValidationError
from toolchain.metrics.differences import Differences, outside
from toolchain.metrics.matte_errors import Matte, MattingScore, compare
from toolchain.metrics.stagewise import Observed, Stagewise
from toolchain.metrics.verdict import judge, without_truth, worse, would_pass

ORDINARY_LIMIT = 1 / 255  # where no limit is set: one step of an 8-bit picture


class Inferred(Observed, Protocol):
    """What is needed of an inference: see `runtimes.base.Inference`."""

    @property
    def pha(self) -> Floats:
        """H x W."""

    @property
    def fgr(self) -> Floats:
        """H x W x 3, RGB, 0..1."""

    @property
    def exact(self) -> bool:
        """Whether observing did not change the outputs."""


@dataclass(frozen=True)
class Measured:
    """`figures`: what limits may name.  `details`: the rest, for JSON.  `failures`: sentences."""

    figures: dict[str, float | None]
    details: dict[str, Any]
    failures: tuple[str, ...]


class Scores:
    """Means of the matting metrics against the truth, over the frames that have one."""

    def __init__(self) -> None:
        self._scores: list[MattingScore] = []

    def add(self, matte: Matte, truth: Matte | None) -> None:
        """One frame; without a truth it adds nothing."""
        if truth is not None:
            self._scores.append(compare(matte, truth))

    def mean(self) -> dict[str, float] | None:
        """Metric -> mean, None without any truth."""
        return _means(self._scores) if self._scores else None


class Comparison:
    """Sums over frames for one form; `limits`: what it may differ by, None: nobody said."""

    def __init__(self, form: str, hint: str, limits: Limits | None) -> None:
        self._form = form
        self._hint = hint
        self._limits = limits
        bounds = {
            name: getattr(limits, f"{name}_max_abs", None) or ORDINARY_LIMIT for name in OUTPUTS
        }
        self._everywhere = {name: Differences(bound) for name, bound in bounds.items()}
        self._same_patches = {name: Differences(bound) for name, bound in bounds.items()}
        self._stages = Stagewise()
        self._truth = Scores()
        self._between: list[MattingScore] = []
        self._different = self._patches = self._refined = 0
        self._exact = True

    def add(
        self, found: Inferred, reference: Inferred, original: Matte, truth: Matte | None
    ) -> float:
        """One frame; `original`: the reference as a matte, shared by all comparisons.

        Returns the frame's largest difference outside differently chosen patches.  Raises
        ValidationError for outputs of another shape.
        """
        for name in OUTPUTS:
            shape, expected = getattr(found, name).shape, getattr(reference, name).shape
            if shape != expected:
                raise ValidationError(
                    f"{self._form}: {name} has the shape {shape}, the original's is {expected}",
                    hint="Export and convert again for this size.",
                )
        different = found.ref != reference.ref
        self._different += int(different.sum())
        self._patches += different.size
        self._refined += int(found.ref.sum())
        self._exact &= found.exact
        where = outside(different) if different.any() else None
        largest = 0.0
        for name in OUTPUTS:
            one, other = getattr(reference, name), getattr(found, name)
            sums = self._everywhere[name].add(one, other)
            if where is None:
                self._same_patches[name].include(sums)
            else:
                sums = self._same_patches[name].add(one, other, where)
            largest = max(largest, sums.largest)
        self._stages.add(reference, found)
        matte = Matte(found.pha, found.fgr)
        self._between.append(compare(matte, original))
        self._truth.add(matte, truth)
        return largest

    def result(self, original: Scores) -> Measured:
        """The figures and what they fail; `original`: the original's own scores."""
        figures: dict[str, float | None] = {}
        details: dict[str, Any] = {"outputs": {}}
        failures = []
        near = {name: sums.total() for name, sums in self._same_patches.items()}
        for name in OUTPUTS:
            far = self._everywhere[name].total()
            figures[f"{name}_max_abs"] = near[name].max_abs
            figures[f"{name}_mean_abs"] = near[name].mean_abs
            details["outputs"][name] = {
                "outside_different_patches": asdict(near[name]),
                "everywhere": asdict(far),
            }
            if not far.finite:
                failures.append(f"{name} holds NaN or infinite values")
        figures["different_patches"] = self._different / self._patches
        before, after = original.mean(), self._truth.mean()
        if before is not None and after is not None:
            figures.update(worse(before, after))
        details["between"] = _means(self._between)
        details["truth"] = self._truth.mean()
        details["patches"] = {
            "compared": self._patches,
            "refined": self._refined,
            "chosen_differently": self._different,
            "read_from_identical_run": self._exact,
        }
        details["stages"] = self._stages.result(near)
        if self._limits is None:
            failures.append(f"model.yml has no limits for {self._form} at {self._hint}")
        else:
            # Without a frame of known truth there is nothing to be worse than.
            limits = without_truth(self._limits) if before is None else self._limits
            failures += [str(failure) for failure in judge(limits, figures)]
            details["would_pass"] = would_pass(self._limits, figures)
        return Measured(figures, details, tuple(failures))


def _means(scores: list[MattingScore]) -> dict[str, float]:
    rows = [asdict(item) for item in scores]
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
