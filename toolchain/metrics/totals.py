"""Scores added up by clip, exactly: shards may be merged in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from toolchain.metrics.exact import ExactSum


@dataclass
class Totals:
    """`frames`: how many were added; `sums`: one for each metric."""

    frames: int
    sums: tuple[ExactSum, ...]

    @classmethod
    def none(cls, metrics: int) -> Totals:
        """Nothing yet."""
        return cls(0, tuple(ExactSum() for _ in range(metrics)))

    def add(self, scores: Sequence[float]) -> None:
        """Add one frame."""
        self.frames += 1
        for total, score in zip(self.sums, scores, strict=True):
            total.add(score)

    def merge(self, other: Totals) -> None:
        """Add all frames of another one."""
        self.frames += other.frames
        for total, more in zip(self.sums, other.sums, strict=True):
            total.merge(more)

    def means(self) -> tuple[float, ...]:
        """The plain mean over frames, for each metric."""
        return tuple(total.value / self.frames for total in self.sums)


@dataclass
class ByClip:
    """Totals of each clip, in order of first sight."""

    metrics: int
    clips: dict[str, Totals] = field(default_factory=dict)

    def add(self, clip: str, scores: Sequence[float]) -> None:
        """Add one frame of `clip`."""
        self.clips.setdefault(clip, Totals.none(self.metrics)).add(scores)

    def merge(self, other: ByClip) -> None:
        """Add all frames of another one."""
        for clip, totals in other.clips.items():
            self.clips.setdefault(clip, Totals.none(self.metrics)).merge(totals)

    def total(self) -> Totals:
        """Over all clips."""
        whole = Totals.none(self.metrics)
        for totals in self.clips.values():
            whole.merge(totals)
        return whole
