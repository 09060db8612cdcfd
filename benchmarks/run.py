"""`matting run` on a 720p clip against bare asynchronous inference with the same IR and hint.

Ours: `run` from an H.264 file to an H.264 file with a colour as background: decoded, resized,
inferred, composited, encoded.  Both load the model and run in turn; the result is the ratio of each
pair.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.bare import HINTS, compare_with_bare, time_bare
from benchmarks.outcome import conclude

SIZE = (1280, 720)


def make_data(folder: Path, frames: int) -> None:
    """Write `clip.mp4` and `plate.png`: a figure that moves through a room."""
    from PIL import Image

    from tests.support.clips import make_walk, write_clip

    pictures, plate = make_walk(min(frames, 24), SIZE)
    write_clip(folder / "clip.mp4", [pictures[n % len(pictures)] for n in range(frames)])
    Image.fromarray(plate).save(folder / "plate.png")


def load_feeds(folder: Path) -> list[dict[str, Any]]:
    """The first frames as the IR takes them."""
    import numpy as np
    from PIL import Image

    from toolchain.run.video_source import VideoSource
    from toolchain.runtimes.base import to_planes

    with Image.open(folder / "plate.png") as picture:
        plate = to_planes(np.asarray(picture)[..., ::-1])
    frames = islice(VideoSource(folder / "clip.mp4").frames(), 16)
    return [{"src": to_planes(frame.pixels[..., ::-1]), "bgr": plate} for frame in frames]


def time_ours(xml: Path, folder: Path, hint: str, frames: int) -> float:
    """Seconds of a whole run, from file to file."""
    from toolchain.run.request import RunRequest
    from toolchain.run.runner import run_matting

    began = time.perf_counter()
    result = run_matting(
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--frames", type=int, default=240, help="of the clip (240, ten seconds)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each hint (3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [str(Path(sys.executable).with_name("matting")), "build", "--weights", "bundled"]
        command += ["--precisions", "FP16", "--frames", "1", "--quiet", "--output", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (xml,) = folder.glob("public/*/FP16/*.xml")
        make_data(folder, options.frames)
        feeds = load_feeds(folder)
        figures = []
        for hint in HINTS:
            figures += compare_with_bare(
                "run, 720p clip to clip,",
                hint,
                options.frames,
                options.rounds,
                partial(time_ours, xml, folder, hint, options.frames),
                partial(time_bare, xml, hint, feeds, options.frames),
            )
        return conclude("run", figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
