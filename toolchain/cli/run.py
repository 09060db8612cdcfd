"""The command `run`: images, videos or a camera through a built model."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.cli.console import make_listener, print_json
from toolchain.cli.exits import INTERRUPTED
from toolchain.cli.options import Commands, add_command, add_frames, add_model, add_output
from toolchain.progress import Listener
from toolchain.run.request import RunRequest, RunResult

BUNDLED = "bundled"  # as --model: the model of the bundled weights


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "run",
        "matte images, videos or a camera with a built model",
        example="matting run --src clip.mp4 --bgr plate.png --background blur --output out.mp4",
        run=_run,
    )
    add_model(parser)
    parser.add_argument(
        "--src",
        required=True,
        metavar="WHAT",
        help="frames: an image, a folder of images, a video, or the number of a camera",
    )
    parser.add_argument(
        "--bgr",
        required=True,
        metavar="WHAT",
        help="clean plate: one image for all frames; a folder or video with one for each frame; "
        "or the number of a camera (taken after a countdown)",
    )
    parser.add_argument(
        "--background",
        metavar="B",
        help="a colour (green, #204060), an image, a video, blur, or transparent (default: "
        "transparent if the output supports it, else green)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="a folder for PNG files; an image (.png .webp .jpg); or a video: .mp4 .mkv (H.264), "
        ".webm (VP9, supports transparency), .mov (H.264, or ProRes 4444 if transparent)",
    )
    parser.add_argument(
        "-y",
        "--overwrite",
        action="store_true",
        default=True,
        help="replace an existing output (default); an output that is an input is always refused",
    )
    parser.add_argument(
        "-n",
        "--no-overwrite",
        dest="overwrite",
        action="store_false",
        help="exit with an error if the output exists",
    )
    parser.add_argument(
        "--split",
        action="store_true",
        help="write foreground and alpha separately, to OUTPUT/fgr and OUTPUT/pha",
    )
    parser.add_argument(
        "--align",
        nargs="?",
        choices=("auto", "none", "translation", "homography"),
        const="translation",
        default="auto",
        help="align the plate to the frames: where it is offset (auto, default), by a translation, "
        "by a homography, or not at all (none)",
    )
    parser.add_argument(
        "--match-exposure",
        action=argparse.BooleanOptionalAction,
        help="match the exposure of the plate to the frame (default: where it differs)",
    )
    add_frames(parser, "stop after N frames")
    parser.add_argument("--skip-bad", action="store_true", help="skip frames that cannot be read")
    add_output(parser)


def _run(options: argparse.Namespace) -> int:
    from toolchain.run.runner import run_matting  # imports numpy and OpenVINO

    listener = make_listener(quiet=options.quiet)
    request = RunRequest(
        model=_find_model(options.model, listener),
        src=options.src,
        bgr=options.bgr,
        output=options.output,
        background=options.background,
        split=options.split,
        align=options.align,
        exposure=options.match_exposure,
        overwrite=options.overwrite,
        skip_bad=options.skip_bad,
        frames=options.frames,
        precision=options.precision,
        device=options.device,
        hint=options.precision_hint,
    )
    with stopping() as stop:
        result = run_matting(request, listener, stop)
    if options.json:
        print_json(as_json(result))
    elif result.written is not None:
        print(result.written)
    print(summary(result), file=sys.stderr)
    if result.stopped and request.src.isdecimal():
        return 0  # the normal end of a camera
    return INTERRUPTED if result.stopped else 0


def _find_model(model: Path, listener: Listener) -> Path:
    if str(model) != BUNDLED or model.exists():
        return model
    from toolchain.pipeline.bundled import find_bundled  # imports the stages

    return find_bundled(listener)


def summary(result: RunResult) -> str:
    """Summarize in one line: how many frames, how fast."""
    times = ", ".join(f"{name} {value:.0f} ms" for name, value in result.latency.items())
    line = (
        f"{result.frames} frames in {result.seconds:.1f} s, {result.rate:.1f} frames/s"
        f"{', inference ' + times if times else ''} ({result.executed})"
    )
    return f"Stopped early: {line}" if result.stopped else line


def as_json(result: RunResult) -> dict[str, Any]:
    """Return the result for scripts."""
    return {
        "output": None if result.written is None else str(result.written),
        "frames": result.frames,
        "seconds": round(result.seconds, 3),
        "frames_per_second": round(result.rate, 2),
        "latency_ms": result.latency,
        "stopped": result.stopped,
        "model": result.model,
        "weights": result.weights,
        "executed": result.executed,
        "plate": result.plate,
        "plates": result.plates,
    }


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event; a second one interrupts.

    Yields:
        The event.
    """
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])
        print("Stopping. Press Ctrl-C again to stop immediately.", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
