"""One frame with the outputs of every variant: images and a row of figures for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Floats
from toolchain.frames.frame import Frame
from toolchain.metrics.differences import Differences, mask_outside
from toolchain.metrics.score import Matte, published_scores
from toolchain.pictures.encode import WIDEST, cutout, grey, photo, reduction
from toolchain.pictures.heat import heat
from toolchain.pictures.histogram import Counts
from toolchain.pictures.patches import patch_map
from toolchain.report.page import FrameImages, Histogram, VariantHistograms, VariantImages
from toolchain.report.table import EMPTY_CELL, Cell, Table, number_cell

STEP = 1 / 255  # of an 8-bit image: smaller differences are invisible
VISIBLE_ALPHA = 0.01  # of the original, where differences of the foreground are shown
HEAD = (
    "Model",
    "max",
    "mean",
    "over 1/255",
    "max",
    "Patches chosen differently",
    "MAD, \u00d71000",
    "GRAD, /1000",
)
GROUPS = (("", 1), ("Alpha", 3), ("Foreground", 1), ("", 1), ("Against ground truth", 2))


class VariantOutputs(Protocol):
    """Outputs of one variant: alpha H x W; foreground H x W x 3, RGB; H/4 x W/4 patches."""

    @property
    def pha(self) -> Floats:
        """0..1."""

    @property
    def fgr(self) -> Floats:
        """0..1."""

    @property
    def ref(self) -> npt.NDArray[np.bool_]:
        """True where a patch was refined."""


@dataclass
class ReportedVariant:
    """A variant and its differences over the frames added so far, by output."""

    run: str
    label: str
    limits: tuple[float | None, float | None]
    counts: tuple[Counts, Counts] = field(default_factory=lambda: (Counts(), Counts()))
    sums: tuple[Differences, Differences] = field(
        default_factory=lambda: (Differences(STEP), Differences(STEP))
    )

    def build_histograms(self) -> VariantHistograms:
        """The differences over all frames, outside differently chosen patches."""
        series = []
        names = ("alpha", "foreground")
        for name, limit, counts, sums in zip(
            names, self.limits, self.counts, self.sums, strict=True
        ):
            total = sums.total()
            caption = f"{name}: {total.over:.4%} of the values differ by more than 1/255"
            if total.over == 0:
                caption = f"{name}: no value differs by more than 1/255"
            caption += f", the largest difference is {total.max_abs:.1e}"
            series.append(Histogram(name, counts.total().shares, limit, caption))
        return VariantHistograms(self.run, self.label, tuple(series))


class FrameGallery:
    """Collects images and figures of one frame; keeps no outputs."""

    def __init__(
        self, frame: Frame, kind: str, original: VariantOutputs, widest: int = WIDEST
    ) -> None:
        self._frame, self._kind, self._original = frame, kind, original
        self._matte = Matte(original.pha, original.fgr)
        self._truth = None
        if frame.alpha is not None and frame.foreground is not None:
            self._truth = Matte(frame.alpha, frame.foreground)
        self._widest = widest  # pixels
        self._factor = reduction(frame.src.shape[1], widest)
        self._variants: list[VariantImages] = []
        self._rows = [(Cell("Original"), *([EMPTY_CELL] * 5), *self._score(self._matte))]

    def add(self, variant: ReportedVariant, found: VariantOutputs) -> None:
        """Add the outputs of a variant on this frame, and their differences to its sums."""
        original, factor = self._original, self._factor
        alpha = _difference(found.pha, original.pha)
        foreground = _difference(found.fgr, original.fgr)
        different = found.ref != original.ref
        where = mask_outside(different)
        for counts, sums, difference, pair in zip(
            variant.counts,
            variant.sums,
            (alpha, foreground),
            ((original.pha, found.pha), (original.fgr, found.fgr)),
            strict=True,
        ):
            counts.add(difference, where)
            sums.add(*pair, where)
        visible = np.where(original.pha > VISIBLE_ALPHA, foreground.max(axis=2), np.float32(0))
        height, width = alpha.shape
        y, x = np.unravel_index(int(np.argmax(np.nan_to_num(alpha, nan=2.0))), alpha.shape)
        self._variants.append(
            VariantImages(
                run=variant.run,
                label=variant.label,
                alpha=grey(found.pha, factor),
                cutout=cutout(found.pha, found.fgr, factor),
                heat=heat(alpha, self._widest),
                heat_foreground=heat(visible, self._widest // 2),
                patches=patch_map(self._frame.src, original.ref, found.ref),
                worst=(round((int(x) + 0.5) / width, 4), round((int(y) + 0.5) / height, 4)),
            )
        )
        total = Differences(STEP)
        total.add(original.pha, found.pha)
        figures = total.total()
        self._rows.append(
            (
                Cell(variant.label),
                number_cell(figures.max_abs),
                number_cell(figures.mean_abs),
                number_cell(figures.over, ".4%"),
                number_cell(float(np.nan_to_num(foreground, nan=np.inf).max())),
                number_cell(float(different.mean()), ".3%"),
                *self._score(Matte(found.pha, found.fgr)),
            )
        )

    def build(self) -> FrameImages:
        """Return the frame for the report."""
        frame, factor, original = self._frame, self._factor, self._original
        height, width = (-(-side // factor) for side in original.pha.shape)
        return FrameImages(
            name=frame.name,
            kind=self._kind,
            width=width,
            height=height,
            src=photo(frame.src, factor),
            plate=photo(frame.bgr, factor),
            truth=None if frame.alpha is None else grey(frame.alpha, factor),
            alpha=grey(original.pha, factor),
            cutout=cutout(original.pha, original.fgr, factor),
            variants=tuple(self._variants),
            table=Table(
                f"Figures of {frame.name}",
                HEAD,
                tuple(self._rows),
                ("Whole frame, differently chosen patches included.",),
                GROUPS,
            ),
        )

    def _score(self, matte: Matte) -> tuple[Cell, Cell]:
        if self._truth is None:
            return EMPTY_CELL, EMPTY_CELL
        found = published_scores(matte, self._truth)
        return number_cell(found["alpha_mad"], ".3f"), number_cell(found["alpha_grad"], ".3f")


def _difference(one: Floats, other: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(one - other), np.float32)
