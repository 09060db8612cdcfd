"""Request and result of `matting run`. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolchain.definitions.variants import DEFAULT_DEVICE, Hint

Align = Literal["none", "auto", "translation", "homography"]


@dataclass(frozen=True)
class RunRequest:
    """What to run and where to write it.

    Attributes:
        model: See `toolchain.Matting`.
        src: Frames: an image, a folder of images, a video, or the number of a camera.
        bgr: Clean plate: likewise.
        output: A folder, an image or a video; see `sinks`.
        background: See `backgrounds`. None: transparent if the output supports it, else green.
        split: Whether to write foreground and alpha separately.
        align: How to align the clean plate to the frames; "auto": by a translation, where an offset
            of at least one pixel is measured.
        exposure: Whether to match the exposure of the clean plate to the frame; None: where it
            differs so that it shows.
        overwrite: Whether an existing output is replaced. An input is never replaced.
        skip_bad: Whether to skip frames that cannot be read.
        frames: Maximum number of frames, None for all.
        precision: See `toolchain.Matting`.
        device: See `toolchain.Matting`.
        hint: See `toolchain.Matting`.
    """

    model: Path
    src: str
    bgr: str
    output: Path
    background: str | None = None
    split: bool = False
    align: Align = "auto"
    exposure: bool | None = None
    overwrite: bool = True
    skip_bad: bool = False
    frames: int | None = None
    precision: str | None = None
    device: str = DEFAULT_DEVICE
    hint: Hint = "default"


@dataclass(frozen=True)
class RunResult:
    """What was written, and how fast.

    Attributes:
        written: The output, None if nothing was written.
        frames: Number of frames.
        seconds: Time for all of them, from the first read to the closed output.
        latency: Percentiles of the inference time of a frame in ms, by name ("p50").
        model: Name of the model.
        executed: Precision that the device computed in.
        weights: Description of the weights, "" if the IR has none.
        stopped: Whether the run was stopped before the end of the source.
        plate: Measurements of the first clean plate, for scripts.
        plates: Measurements of each clean plate that was measured, with the name of the frame.
    """

    written: Path | None
    frames: int
    seconds: float
    latency: dict[str, float]
    model: str
    executed: str
    weights: str
    stopped: bool
    plate: dict[str, Any] = field(default_factory=dict)
    plates: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds if self.seconds else 0.0
