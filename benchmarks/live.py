"""`matting run` on a 720p clip against bare asynchronous inference with the same IR and hint.

Bare: load, compile for throughput, AsyncInferQueue over frames that lie ready in memory.  Ours:
`run` from an H.264 file to an H.264 file with a colour behind: decoded, fitted, inferred,
composited, encoded.  Both load the model; in turn, the ratio of each pair counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.outcome import Figure, conclude

RATE = 0.85
SIZE = (1280, 720)


def made(folder: Path, frames: int) -> None:
    """`clip.mp4` and `plate.png`: a figure that walks through a room."""
    from PIL import Image

    from tests.support.clips import walk, write_clip

    pictures, plate = walk(min(frames, 24), SIZE)
    write_clip(folder / "clip.mp4", [pictures[n % len(pictures)] for n in range(frames)])
    Image.fromarray(plate).save(folder / "plate.png")


def bare(xml: Path, folder: Path, hint: str, frames: int) -> float:
    """Seconds of loading and inference."""
    import numpy as np
    import openvino
    from PIL import Image

    from toolchain.live.video import Video
    from toolchain.runtimes.base import planes

    with Image.open(folder / "plate.png") as picture:
        plate = planes(np.asarray(picture)[..., ::-1])
    ready = []
    for shot in Video(folder / "clip.mp4").shots():
        ready.append(planes(shot.pixels[..., ::-1]))
        if len(ready) == 16:
            break
    began = time.perf_counter()
    config = {"PERFORMANCE_HINT": "THROUGHPUT"}
    if hint == "f32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    core = openvino.Core()
    queue = openvino.AsyncInferQueue(core.compile_model(core.read_model(xml), "CPU", config))
    for number in range(frames):
        feed = {"src": ready[number % len(ready)], "bgr": plate}
        queue.start_async(feed, share_inputs=True)
    queue.wait_all()
    return time.perf_counter() - began


def by_us(xml: Path, folder: Path, hint: str, frames: int) -> float:
    """Seconds of a whole run, from file to file."""
    from toolchain.live.run import RunRequest, run

    began = time.perf_counter()
    result = run(
        RunRequest(
            model=xml,
            src=str(folder / "clip.mp4"),
            bgr=str(folder / "plate.png"),
            output=folder / "out.mp4",
            background="green",
            hint="f32" if hint == "f32" else "default",
        )
    )
    seconds = time.perf_counter() - began
    assert result.frames == frames
    return seconds


def main(arguments: Sequence[str] = ()) -> int:
    """Run the benchmark; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--frames", type=int, default=120, help="of the clip (120)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each hint (3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [str(Path(sys.executable).with_name("matting")), "build", "--weights", "bundled"]
        command += ["--precisions", "FP16", "--frames", "1", "--quiet", "--output", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (xml,) = folder.glob("public/*/FP16/*.xml")
        made(folder, options.frames)
        figures = []
        for hint in ("f32", "default"):
            figures += _compared(xml, folder, hint, options)
        return conclude("live", figures)


def _compared(xml: Path, folder: Path, hint: str, options: argparse.Namespace) -> list[Figure]:
    ratios, rates = [], []
    for turn in range(options.rounds):
        seconds = {}
        for ours in (turn % 2 == 1, turn % 2 == 0):
            work = by_us if ours else bare
            seconds[ours] = work(xml, folder, hint, options.frames)
        ratios.append(seconds[False] / seconds[True])
        rates.append(options.frames / seconds[True])
    name = f"its rate against bare inference at {hint} (median of pairs)"
    return [
        Figure(f"run, 720p clip to clip, at {hint}", statistics.median(rates), "f/s"),
        Figure(name, statistics.median(ratios), "x", RATE, "at least"),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
