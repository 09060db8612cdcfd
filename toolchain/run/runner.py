"""`run`: every frame through the model, decoding, inference and encoding side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.api.letterbox import Letterbox
from toolchain.api.matte import Matte
from toolchain.api.matting import Matting, PreparedPair
from toolchain.definitions.arrays import Pixels
from toolchain.definitions.variants import Hint
from toolchain.errors import FrameError, ToolchainError
from toolchain.progress import Listener, SilentListener
from toolchain.run.backgrounds import TRANSPARENT, Background, Behind, open_background
from toolchain.run.plate_correction import Align, Correction, advice, corrected
from toolchain.run.plates import Plates
from toolchain.run.prefetch import ahead
from toolchain.run.sinks import Sink, check, holds_alpha, open_sink
from toolchain.run.sources import Shot, Source, open_source

DECODED = 4  # frames that are read ahead
OPAQUE = "green"  # behind the foreground where nobody says and the output can't be transparent
SHARES = (50, 90, 99)


@dataclass(frozen=True)
class RunRequest:
    """`src`, `bgr`: a picture, a folder, a video or a camera's number.  `output`: see `sinks`.

    `background`: see `backgrounds`; None: transparent if the output can be, else green.
    `split`: foreground and alpha apart.  `frames`: at most so many.  `model`, `precision`,
    `device`, `hint`: see `Matting`.
    """

    model: Path
    src: str
    bgr: str
    output: Path
    background: str | None = None
    split: bool = False
    align: Align = "off"
    exposure: bool = False
    skip_bad: bool = False
    frames: int | None = None
    precision: str | None = None
    device: str = "CPU"
    hint: Hint = "default"


@dataclass
class RunResult:
    """`written`: where it lies.  `latency`: percentile -> ms that the model took for a frame.

    `stopped`: whether somebody ended it early.  `plate`: what was measured about the first plate.
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

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0


def run(
    request: RunRequest,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> RunResult:
    """Matte every frame of the source and write what is asked for, in order.

    `stop`: once set, no more frames are taken, and what is under way is finished.
    Raises UsageError for arguments that can't be, FrameError for frames and plates, and
    WorkspaceError for an output that can't be written; each says what part is finished and where.
    """
    talk = listener or SilentListener()
    with ExitStack() as stack:
        frames = open_source(request.src, "--src")
        background = open_background(_background(request))
        stack.callback(background.close)
        transparent = _background(request) == TRANSPARENT
        check(request.output, frames, transparent=transparent, split=request.split)
        plate_source = open_source(request.bgr, "--bgr")
        model = stack.enter_context(
            Matting(
                request.model,
                precision=request.precision,
                device=request.device,
                hint=request.hint,
                as_bytes=True,
            )
        )
        if about := model.facts.get("weights_are"):
            talk.note(f"Weights: {about}.")
        plates = Plates(plate_source, frames, talk.note)
        stack.callback(plates.close)
        sink = open_sink(request.output, frames, transparent=transparent, split=request.split)
        way = _Way(request, talk, model, frames, plates, background, sink, stop)
        return way.go()


def _background(request: RunRequest) -> str:
    if request.background is not None:
        return request.background
    return TRANSPARENT if holds_alpha(request.output) else OPAQUE


@dataclass(frozen=True, eq=False)
class _Work:
    """One frame with all that stands beside it.  `inside`: the plate as the model takes it."""

    shot: Shot
    inside: Pixels
    behind: Behind
    fit: Letterbox


@dataclass(eq=False)
class _Way:
    request: RunRequest
    talk: Listener
    model: Matting
    frames: Source
    plates: Plates
    background: Background
    sink: Sink
    stop: threading.Event | None
    correction: Correction | None = None
    _plate: Pixels | None = None
    _inside: Pixels | None = None
    _right: Pixels | None = None

    def go(self) -> RunResult:
        latencies: list[float] = []
        began = time.monotonic()
        count = self.frames.count
        if self.request.frames is not None:
            count = min(count or self.request.frames, self.request.frames)
        try:
            with self.talk.task("run", count, "frames") as task:
                works = ahead(self._works(), DECODED)
                made = self.model.process(works, self._prepared, self._made)
                with closing(works), closing(made):
                    for seconds, result in made:
                        self.sink.add(result)
                        latencies.append(seconds)
                        task.reach(len(latencies))
            stopped = self.stop is not None and self.stop.is_set()
            self._require(latencies or stopped)
            written = self.sink.close(complete=not stopped or self.frames.kind == "camera")
        except ToolchainError as error:
            self._left(error, len(latencies))
            raise
        except BaseException:
            self.sink.close(complete=False)
            raise
        return RunResult(
            written=written,
            frames=len(latencies),
            seconds=time.monotonic() - began,
            latency=_percentiles(latencies),
            model=self.model.located.name,
            executed=self.model.executed,
            weights=self.model.facts.get("weights_are", ""),
            stopped=stopped,
            plate=_told(self.correction),
        )

    def _require(self, some: object) -> None:
        if not some:
            raise FrameError(f"{self.frames.label}: no frame could be read")

    def _works(self) -> Generator[_Work, None, None]:
        with closing(self.frames.shots(skip_bad=self.request.skip_bad)) as shots:
            for shot in islice(shots, self.request.frames):
                if self.stop is not None and self.stop.is_set():
                    return
                fit = self.model.letterbox(shot.size)
                plate = self._matched(shot, self.plates.next(shot))
                behind = self.background.next(shot.size, plate)
                yield _Work(shot, self._fitted(plate, fit), behind, fit)

    def _matched(self, shot: Shot, plate: Pixels) -> Pixels:
        """The plate as it is to be used: measured once, and put right if that was asked for.

        Pictures in a folder may each have been taken from a place of their own.
        """
        asked = self.request.align != "off" or self.request.exposure
        again = asked and (self.frames.kind == "folder" or not self.plates.one_for_all)
        if self.correction is None or again:
            first = self.correction is None
            found = corrected(
                shot.pixels, plate, self.request.align, exposure=self.request.exposure
            )
            if first:
                self.correction = found
                for line in advice(
                    found, align=self.request.align != "off", exposure=self.request.exposure
                ):
                    self.talk.note(line)
            self._right = found.plate
        return self._right if asked and self._right is not None else plate

    def _fitted(self, plate: Pixels, fit: Letterbox) -> Pixels:
        if plate is not self._plate or self._inside is None:
            self._plate, self._inside = plate, fit.apply(plate)
        return self._inside

    @staticmethod
    def _prepared(work: _Work) -> PreparedPair:
        return PreparedPair(
            work.fit.apply(work.shot.pixels), work.inside, work.shot.pixels, work.fit
        )

    def _made(self, work: _Work, matte: Matte) -> tuple[float, Any]:
        return matte.seconds, self.sink.made(work.shot, matte, work.behind)

    def _left(self, error: ToolchainError, finished: int) -> None:
        """End the output, and let the error say what there is of it."""
        written = self.sink.close(complete=False)
        if written is None:
            error.kept = "Nothing was written."
        else:
            error.kept = f"The frames until then, {finished}, are in {written}."


def _told(found: Correction | None) -> dict[str, Any]:
    if found is None:
        return {}
    moved = None if found.moved is None else found.moved.round(6).tolist()
    return {
        **asdict(found.offset),
        "aligned_by": moved,
        "exposure_times": list(found.gains),
        "difference": found.before,
        "difference_after": found.after,
    }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    found = np.percentile(seconds, SHARES) * 1000
    return {f"p{share}": round(float(value), 1) for share, value in zip(SHARES, found, strict=True)}
