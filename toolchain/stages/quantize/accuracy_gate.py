"""Accuracy of a quantized IR relative to the float one, on generated frames with ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from toolchain.catalog.records import Limits
from toolchain.definitions.variants import INT8, Hint
from toolchain.errors import QuantizationError
from toolchain.frames.generated import composites
from toolchain.metrics.score import Matte, mean_scores, published_scores
from toolchain.metrics.verdict import (
    compare_metrics,
    compute_bounds,
    find_failures,
    get_metric_bases,
    ratio_to_bound,
    select_truth_limits,
)
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.stages.quantize.request import EVALUATION_SEED, QuantizeRequest

Figures = dict[str, dict[str, float]]  # by hint


class AccuracyGate:
    """Compares metrics of quantized IRs with the limits.

    Attributes:
        limits: The limits by precision hint.
        frames: Number of frames.
        names: Names of the frames, once they were used.

    Raises:
        QuantizationError: No limits are set.
    """

    def __init__(self, request: QuantizeRequest, size: tuple[int, int]) -> None:
        found = [item for item in request.tolerances if item.variant.form == INT8]
        self.limits: dict[Hint, Limits] = {
            item.variant.hint: select_truth_limits(item.limits) for item in found
        }
        if not any(item.by_figure for item in self.limits.values()):
            raise QuantizationError(
                f"model.yml limits no metric of {INT8} against the ground truth",
                kept="No IR was written.",
                hint="Set alpha_mad_worse or other metrics in its tolerances.",
            )
        self._reference, self._size = request.reference, size
        self.frames = request.composites
        self.names: list[str] = []
        self._before: dict[str, float] | None = None

    @property
    def runs(self) -> int:
        """Number of inferences of the first call of `figures`."""
        return self.frames * (len(self.limits) + (self._before is None))

    @property
    def bases(self) -> dict[str, float]:
        """Metrics of the float IR, of which relative limits are multiples."""
        return get_metric_bases(self._before or {})

    def figures(self, xml: Path, reach: Callable[[float], None]) -> Figures:
        """Compute the figures of an IR by precision hint.

        Args:
            xml: The IR.
            reach: Called with the number of inferences done.
        """
        done = 0
        if self._before is None:
            self._before = self._mean(self._reference, "f32", reach, done)
            done += self.frames
        figures: Figures = {}
        for hint in self.limits:
            figures[hint] = compare_metrics(self._before, self._mean(xml, hint, reach, done))
            done += self.frames
        return figures

    def failures(self, figures: Mapping[str, Mapping[str, float]]) -> list[str]:
        """List every limit that is exceeded, one line each."""
        return [
            f"at {hint}: {failure}"
            for hint, limits in self.limits.items()
            for failure in find_failures(limits, figures[hint], self.bases)
        ]

    def worst_share(self, figures: Mapping[str, Mapping[str, float]]) -> float:
        """Return the largest figure as a multiple of its bound; at most 1 if all limits are met."""
        return max(
            ratio_to_bound(figures[hint][name], bound)
            for hint, limits in self.limits.items()
            for name, bound in compute_bounds(limits, self.bases).items()
        )

    def _mean(
        self, xml: Path, hint: Hint, reach: Callable[[float], None], done: int
    ) -> dict[str, float]:
        runtime = OpenVinoRuntime(xml, hint)
        scores: list[dict[str, float]] = []
        self.names = []
        for number, frame in enumerate(composites(self.frames, EVALUATION_SEED, *self._size)):
            self.names.append(frame.name)
            assert frame.alpha is not None
            assert frame.foreground is not None
            found = runtime.infer(frame.src, frame.bgr)
            truth = Matte(frame.alpha, frame.foreground)
            scores.append(published_scores(Matte(found.pha, found.fgr), truth))
            reach(done + number + 1)
        return mean_scores(scores) or {}
