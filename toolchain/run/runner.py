"""The work of `matting run`: decoding, inference and encoding side by side."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np

from toolchain.api.letterbox import Letterbox
from toolchain.api.matte import Matte
from toolchain.api.matting import Matting, PreparedPair
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError, ToolchainError
from toolchain.metrics.plate import SHIFT_LIMIT, ShiftTracker
from toolchain.progress import Listener, SilentListener
from toolchain.run.backgrounds import TRANSPARENT, Background, BackgroundFill, open_background
from toolchain.run.input_protection import check_inputs_are_kept, check_not_existing
from toolchain.run.plate_correction import PlateCorrection, correct_plate, describe_correction
from toolchain.run.plates import Plates
from toolchain.run.prefetch import prefetch
from toolchain.run.request import Align, RunRequest, RunResult
from toolchain.run.sinks import Sink, check_output, keeps_aspect, open_sink, supports_alpha
from toolchain.run.source import Source, SourceFrame
from toolchain.run.sources import open_source
from toolchain.run.video_sink import DEFAULT_RATE

PREFETCHED_FRAMES = 4
OPAQUE_BACKGROUND = "green"  # default for outputs that do not support transparency
MOVED_PIXELS = 1.0  # change of the offset from which a plate is aligned again
MAX_LISTED = 20
MISTAKE_NAMES = {"equal": "equals the frame", "other": "another scene", "exchanged": "exchanged"}
PERCENTILES = (50, 90, 99)


def run_matting(
    request: RunRequest,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
) -> RunResult:
    """Matte every frame of a source and write the results in order.

    Args:
        request: What to run and where to write it.
        listener: Receives progress and notes.
        stop: Once set, no more frames are read, and those in flight are finished.

    Returns:
        What was written, and how fast.

    Raises:
        UsageError: Arguments are invalid or contradict each other.
        FrameError: A frame or a clean plate cannot be used.
        WorkspaceError: The output cannot be written.
        ValidationError: OpenVINO cannot run the model.
    """
    listener = listener or SilentListener()
    inputs = {"--src": request.src, "--bgr": request.bgr, "--background": request.background}
    check_inputs_are_kept(request.output, inputs, split=request.split)
    if not request.overwrite:
        check_not_existing(request.output)
    background_text = request.background
    if background_text is None:
        background_text = TRANSPARENT if supports_alpha(request.output) else OPAQUE_BACKGROUND
    transparent = background_text == TRANSPARENT
    with ExitStack() as stack:
        square = not keeps_aspect(request.output, transparent=transparent)
        source = open_source(request.src, "--src", square=square)
        background = open_background(background_text)
        stack.callback(background.close)
        check_output(request.output, source, transparent=transparent, split=request.split)
        plate_source = open_source(request.bgr, "--bgr", square=square)
        for note in dict.fromkeys(source.notes + plate_source.notes):
            listener.note(note)
        model = stack.enter_context(
            Matting(
                request.model,
                precision=request.precision,
                device=request.device,
                hint=request.hint,
                as_bytes=True,
            )
        )
        if weights := model.facts.get("weights_are"):
            listener.note(f"Weights: {weights}.")
        plates = Plates(plate_source, source, listener.note)
        stack.callback(plates.close)
        sink = open_sink(
            request.output,
            source,
            transparent=transparent,
            split=request.split,
            note=listener.note,
        )
        return _Runner(request, listener, model, source, plates, background, sink, stop).run()


@dataclass(frozen=True, eq=False)
class _Job:
    """One frame with its clean plate, resized to the model's input size, and its background."""

    frame: SourceFrame
    plate: Pixels
    fill: BackgroundFill
    letterbox: Letterbox


@dataclass(eq=False)
class _Runner:
    request: RunRequest
    listener: Listener
    model: Matting
    source: Source
    plates: Plates
    background: Background
    sink: Sink
    stop: threading.Event | None
    correction: PlateCorrection | None = None  # of the first plate
    _tracker: ShiftTracker | None = None
    _tracked: tuple[float, float] | None = None  # the shift when the plate was last corrected
    _measured: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0  # number of frames
    _corrected: Pixels | None = None
    _resized: tuple[Pixels, Pixels] | None = None  # the last plate, and its resized copy

    def run(self) -> RunResult:
        latencies: list[float] = []
        start = time.monotonic()
        count = self.source.count
        if self.request.frames is not None:
            count = min(count or self.request.frames, self.request.frames)
        try:
            with self.listener.task("run", count, "frames") as task:
                jobs = prefetch(self._read_jobs(), PREFETCHED_FRAMES)
                results = self.model.process(jobs, self._prepare, self._encode)
                with closing(jobs), closing(results):
                    for seconds, encoded in results:
                        self.sink.write(encoded)
                        latencies.append(seconds)
                        task.reach(len(latencies))
            stopped = self.stop is not None and self.stop.is_set()
            self._require_frames(latencies or stopped)
            written = self.sink.close(complete=not stopped or self.source.kind == "camera")
            self._list_bad_plates()
        except ToolchainError as error:
            written = self.sink.close(complete=False)
            error.kept = (
                "Nothing was written."
                if written is None
                else f"The frames before the error ({len(latencies)}) are in {written}."
            )
            raise
        except BaseException:
            self.sink.close(complete=False)
            raise
        return RunResult(
            written=written,
            frames=len(latencies),
            seconds=time.monotonic() - start,
            latency=_compute_percentiles(latencies),
            model=self.model.located.name,
            executed=self.model.executed,
            weights=self.model.facts.get("weights_are", ""),
            stopped=stopped,
            plate=_to_record(self.correction),
            plates=self._measured,
        )

    def _require_frames(self, found: object) -> None:
        if not found:
            raise FrameError(f"{self.source.label}: no frame could be read")

    def _read_jobs(self) -> Generator[_Job, None, None]:
        with closing(self.source.frames(skip_bad=self.request.skip_bad)) as frames:
            for frame in islice(frames, self.request.frames):
                if self.stop is not None and self.stop.is_set():
                    return
                letterbox = self.model.letterbox(frame.size)
                plate = self._correct(frame, self.plates.next_plate(frame))
                fill = self.background.next_fill(frame.size, plate, self._get_time(frame))
                yield _Job(frame, self._resize(plate, letterbox), fill, letterbox)

    def _get_time(self, frame: SourceFrame) -> Fraction:
        """Return the time of a frame in the output."""
        self._read += 1
        if frame.time is not None:
            return frame.time
        return (self._read - 1) / (self.source.rate or DEFAULT_RATE)

    def _correct(self, frame: SourceFrame, plate: Pixels) -> Pixels:
        """Measure the plate, and correct it if requested or needed.

        Each image of a folder, and each plate of several, is measured again, since the camera may
        have been moved in between. Through a clip the offset is followed.
        """
        align, exposure = self._align, self.request.exposure
        is_off = align == "none" and exposure is False
        has_moved = not is_off and self._has_moved(frame, plate)
        if self.correction is None or has_moved:
            correction = correct_plate(frame.pixels, plate, align, exposure=exposure)
            if self.correction is None:
                self.correction = correction
                is_empty = correction.mistake == "equal" and self.source.kind in ("video", "camera")
                # A clip may begin before anyone enters.
                for line in (
                    []
                    if is_empty
                    else describe_correction(correction, align=align, exposure=exposure)
                ):
                    self.listener.note(line)
            self._corrected = correction.plate
            self._measured.append({"frame": frame.name, **_to_record(correction)})
        return plate if is_off or self._corrected is None else self._corrected

    @cached_property
    def _align(self) -> Align:
        """How plates are aligned; "auto" needs OpenCV, which is optional."""
        is_possible = self.request.align != "auto" or find_spec("cv2") is not None
        return self.request.align if is_possible else "none"

    def _has_moved(self, frame: SourceFrame, plate: Pixels) -> bool:
        """Whether a plate has to be measured again for a frame."""
        if self.source.kind == "folder" or not self.plates.is_single:
            return True
        if self._align == "none":
            return False
        if self._tracker is None:
            self._tracker = ShiftTracker(plate)
        shift = self._tracker.measure(frame.pixels)
        if self._tracked is not None and math.dist(shift, self._tracked) < MOVED_PIXELS:
            return False
        self._tracked = shift
        return True

    def _list_bad_plates(self) -> None:
        """List the images of a folder whose plates were not as they should be."""
        if self.source.kind != "folder" or len(self._measured) < 2:  # noqa: PLR2004
            return
        bad = [
            f"{one['frame']} ({MISTAKE_NAMES[one['mistake']]})"
            if one["mistake"]
            else f"{one['frame']} ({one['shift'][0]:+.1f}, {one['shift'][1]:+.1f} px)"
            for one in self._measured
            if one["mistake"] or math.hypot(*one["shift"]) >= SHIFT_LIMIT
        ]
        if bad:
            more = f" and {len(bad) - MAX_LISTED} more" if len(bad) > MAX_LISTED else ""
            self.listener.note(
                f"Clean plates that did not match their frames: {', '.join(bad[:MAX_LISTED])}{more}"
            )

    def _resize(self, plate: Pixels, letterbox: Letterbox) -> Pixels:
        if self._resized is None or plate is not self._resized[0]:
            self._resized = plate, letterbox.apply(plate)
        return self._resized[1]

    @staticmethod
    def _prepare(job: _Job) -> PreparedPair:
        image = job.frame.pixels
        return PreparedPair(job.letterbox.apply(image), job.plate, image, job.letterbox)

    def _encode(self, job: _Job, matte: Matte) -> tuple[float, Any]:
        return matte.seconds, self.sink.encode(job.frame, matte, job.fill)


def _to_record(correction: PlateCorrection | None) -> dict[str, Any]:
    if correction is None:
        return {}
    matrix = None if correction.matrix is None else correction.matrix.round(6).tolist()
    return {
        **asdict(correction.offset),
        "aligned_by": matrix,
        "exposure_times": list(correction.gains),
        "difference": correction.before,
        "difference_after": correction.after,
        "mistake": correction.mistake,
    }


def _compute_percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = np.percentile(seconds, PERCENTILES) * 1000
    return {
        f"p{percentile}": round(float(value), 1)
        for percentile, value in zip(PERCENTILES, values, strict=True)
    }
