"""The gate: a quantised IR against the float one, on generated frames with known truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.catalog.records import Limits
from toolchain.errors import QuantizationError
from toolchain.stages.quantize.request import FORM, TRUTH_SEED, QuantizeRequest

if TYPE_CHECKING:
    from toolchain.definitions.variants import Hint
    from toolchain.frames.frame import Frame

Figures = dict[str, dict[str, float]]  # by hint


class Gate:
    """`limits`, by hint: those on metrics against a known truth.

    Raises QuantizationError where none are set: no limit is not an unlimited one.
    """

    def __init__(self, request: QuantizeRequest, size: tuple[int, int]) -> None:
        from toolchain.metrics.verdict import limited_figures, on_truth

        found = [item for item in request.tolerances if item.form == FORM]
        self.limits: dict[Hint, Limits] = {item.hint: on_truth(item.limits) for item in found}
        if not any(limited_figures(item) for item in self.limits.values()):
            raise QuantizationError(
                f"model.yml limits no metric of {FORM} against the truth",
                kept="Nothing was written.",
                hint="Set alpha_mad_worse and the like in its tolerances.",
            )
        self._reference, self._size = request.reference, size
        self.frames = request.composites
        self.names: list[str] = []
        self._before: dict[str, float] | None = None

    @property
    def runs(self) -> int:
        """How many inferences the first judgement takes."""
        return self.frames * (len(self.limits) + (self._before is None))

    def figures(self, xml: Path, reach: Callable[[float], None]) -> Figures:
        """How much worse `xml` is at each hint; `reach` is told the inferences done."""
        from toolchain.metrics.verdict import worse

        done = 0
        if self._before is None:
            self._before = self._mean(self._reference, "f32", reach, done)
            done += self.frames
        figures: Figures = {}
        for hint in self.limits:
            figures[hint] = worse(self._before, self._mean(xml, hint, reach, done))
            done += self.frames
        return figures

    def failures(self, figures: Mapping[str, Mapping[str, float]]) -> list[str]:
        """Every limit that is not kept, one line each."""
        from toolchain.metrics.verdict import judge

        return [
            f"at {hint}: {failure}"
            for hint, limits in self.limits.items()
            for failure in judge(limits, figures[hint])
        ]

    def strain(self, figures: Mapping[str, Mapping[str, float]]) -> float:
        """The largest figure as a share of its limit; at most 1 where all are kept."""
        from toolchain.metrics.verdict import limited_figures

        return max(
            figures[hint][name] / limit if limit else float("inf")
            for hint, limits in self.limits.items()
            for name, limit in limited_figures(limits).items()
        )

    def _mean(
        self, xml: Path, hint: Hint, reach: Callable[[float], None], done: int
    ) -> dict[str, float]:
        from toolchain.metrics.matte_errors import Matte, compare
        from toolchain.runtimes.openvino_runtime import OpenVinoRuntime

        runtime = OpenVinoRuntime(xml, hint)
        scores = []
        self.names = []
        for number, frame in enumerate(self._composites()):
            self.names.append(frame.name)
            assert frame.alpha is not None
            assert frame.foreground is not None
            found = runtime.infer(frame.src, frame.bgr)
            truth = Matte(frame.alpha, frame.foreground)
            scores.append(asdict(compare(Matte(found.pha, found.fgr), truth)))
            reach(done + number + 1)
        return _means(scores)

    def _composites(self) -> Iterator[Frame]:
        from toolchain.frames.generated import composites

        return composites(self.frames, TRUTH_SEED, *self._size)


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
