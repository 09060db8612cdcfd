"""`matting run`: arguments in, what was made and how fast out."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.exits import INTERRUPTED
from toolchain.cli.numbers import positive

if TYPE_CHECKING:
    from toolchain.run.request import RunRequest, RunResult

TEXT = "matte pictures, videos or a camera with a model that was built"
EXAMPLE = "matting run --src clip.mp4 --bgr plate.png --background blur --output out.mp4"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command `run`."""
    parser = commands.add_parser(
        "run",
        help=TEXT,
        description=TEXT[0].upper() + TEXT[1:] + ".",
        epilog=f"example:\n  {EXAMPLE}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument(
        "--src",
        required=True,
        metavar="WHAT",
        help="frames: a picture, a folder of pictures, a video, or a camera's number",
    )
    parser.add_argument(
        "--bgr",
        required=True,
        metavar="WHAT",
        help="the clean plate: one picture for all frames; a folder or video, one for each; or a "
        "camera's number: taken after a countdown",
    )
    parser.add_argument(
        "--background",
        metavar="B",
        help="a colour (green, #204060), a picture, a video, blur, or transparent "
        "(default where the output can be, else green)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="a folder of PNG; a picture (.png .webp .jpg); or a video: .mp4 .mkv (H.264), .webm "
        "(VP9, may be transparent), .mov (H.264, or transparent ProRes 4444)",
    )
    parser.add_argument(
        "--split", action="store_true", help="foreground and alpha apart, in OUTPUT/fgr and /pha"
    )
    parser.add_argument(
        "--align",
        nargs="?",
        choices=("translation", "homography"),
        const="translation",
        default="off",
        help="move the plate to where the frame shows it (translation, or homography)",
    )
    parser.add_argument(
        "--match-exposure", action="store_true", help="light the plate as the frame is"
    )
    parser.add_argument("--frames", type=positive, metavar="N", help="stop after so many frames")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave unreadable frames out instead of stopping"
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is run."""
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("build"),
        metavar="PATH",
        help="the folder of a build (build), of one of its models, a package, or an IR's .xml",
    )
    parser.add_argument(
        "--precision", metavar="P", help="of several, FP32, FP16 or FP16-INT8 (FP16, else FP32)"
    )
    parser.add_argument("--device", default="CPU", metavar="D", help="CPU (default), GPU")
    parser.add_argument(
        "--precision-hint",
        choices=("f32", "default"),
        default="default",
        help="what to compute in: f32, or the device's default (default)",
    )


def run(options: argparse.Namespace) -> int:
    """Run, print, return the exit code."""
    from toolchain.cli.console import listener
    from toolchain.cli.output import print_json
    from toolchain.run.runner import run_matting

    with stopping() as stop:
        result = run_matting(_asked(options), listener(quiet=options.quiet), stop)
    if options.json:
        print_json(as_json(result))
    elif result.written is not None:
        print(result.written)
    print(summary(result), file=sys.stderr)
    if result.stopped and options.src.isdecimal():
        return 0  # it is how a camera is stopped
    return INTERRUPTED if result.stopped else 0


def summary(result: RunResult) -> str:
    """One line: how many frames, how fast."""
    times = ", ".join(f"{name} {value:.0f} ms" for name, value in result.latency.items())
    line = (
        f"{result.frames} frames in {result.seconds:.1f} s, {result.rate:.1f} frames/s"
        f"{', the model ' + times if times else ''} ({result.executed})"
    )
    return f"Stopped early: {line}" if result.stopped else line


def as_json(result: RunResult) -> dict[str, Any]:
    """The result for scripts."""
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
    }


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or a termination) sets; the second one interrupts at once."""
    stop = threading.Event()

    def asked(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])
        print("Stopping; once more to stop at once.", file=sys.stderr, flush=True)

    wanted = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, asked) for number in wanted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _asked(options: argparse.Namespace) -> RunRequest:
    from toolchain.run.request import RunRequest

    return RunRequest(
        model=options.model,
        src=options.src,
        bgr=options.bgr,
        output=options.output,
        background=options.background,
        split=options.split,
        align=options.align,
        exposure=options.match_exposure,
        skip_bad=options.skip_bad,
        frames=options.frames,
        precision=options.precision,
        device=options.device,
        hint=options.precision_hint,
    )
