"""The evaluation against bare asynchronous inference with the same IR, hint and frames.

Ours: `evaluate` over the same frames on disk, in the published layout: inspected, read, decoded,
inferred, scored by all six metrics, recorded, summarized.  Both load the model and run in turn; the
result is the ratio of each pair.  Memory: growth of the peak with three times as many frames.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bare import HINTS, compare_with_bare, time_bare
from benchmarks.outcome import Figure, conclude

if TYPE_CHECKING:
    from toolchain.definitions.variants import Hint
    from toolchain.stages.evaluate.request import EvaluatedModel

GROWTH_MIB = 64.0
CLIP = 8  # frames per plate
PEAK = """
import resource, sys
from pathlib import Path
from benchmarks.evaluate import time_ours, make_model
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 10
model = make_model(Path(sys.argv[1]), "f32")
time_ours(model, Path(sys.argv[2]), Path(sys.argv[4]) / "few")
before = peak()
time_ours(model, Path(sys.argv[3]), Path(sys.argv[4]) / "many")
print(peak() - before)
"""


def make_data(folder: Path, frames: int) -> Path:
    """Write clips of generated foregrounds over rooms, 1280x720, in the published layout."""
    import numpy as np
    from PIL import Image

    from toolchain.frames.foregrounds import draw_foreground
    from toolchain.frames.scenes import draw_scene

    for number in range(frames):
        clip, name = f"{number // CLIP:03}", f"{number % CLIP:03}.png"
        random = np.random.default_rng((number, 4))
        if number % CLIP == 0:
            room = draw_scene(random, 1280, 720)
        alpha, colour = draw_foreground(random, 1280, 720)
        cover = alpha[..., None]
        truth = np.dstack([colour * (cover > 0), alpha])
        for kind, picture in (
            ("com", cover * colour + (1 - cover) * room),
            ("bgr", room),
            ("fgr", truth),
        ):
            path = folder / kind / clip / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(picture * 255).astype(np.uint8)).save(path)
    return folder


def make_model(xml: Path, hint: Hint) -> EvaluatedModel:
    """The FP32 IR at `xml`, to be run at `hint`."""
    from toolchain.catalog.arguments import export_settings
    from toolchain.catalog.builtin import builtin_config
    from toolchain.catalog.reader import read_model
    from toolchain.definitions.variants import FP32, Variant
    from toolchain.stages.evaluate.request import EvaluatedModel

    settings = export_settings(read_model(builtin_config()))
    return EvaluatedModel(Variant(FP32, hint), xml, settings)


def load_feeds(model: EvaluatedModel, root: Path) -> list[dict[str, Any]]:
    """The first frames as the IR takes them."""
    from toolchain.frames.open_dataset import open_dataset
    from toolchain.runtimes.base import to_planes

    items = open_dataset(root, None, 1).items[: 2 * CLIP]
    samples = (item.read().decode(model.size) for item in items)
    return [
        {"src": to_planes(s.src[..., ::-1]), "bgr": to_planes(s.bgr[..., ::-1])} for s in samples
    ]


def time_ours(model: EvaluatedModel, root: Path, work: Path) -> float:
    """Seconds of an evaluation without existing scores."""
    from toolchain.frames.open_dataset import open_dataset
    from toolchain.stages.evaluate.evaluate import evaluate
    from toolchain.stages.evaluate.request import EvaluateRequest

    began = time.perf_counter()
    dataset = open_dataset(root, None, 1)
    result = evaluate(EvaluateRequest("bench", dataset, (model,), work / "evaluation.json"))
    seconds = time.perf_counter() - began
    assert result.scored == len(dataset.items)
    shutil.rmtree(work)
    return seconds


def main(arguments: Sequence[str] = ()) -> int:
    """Run the benchmark; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__)
    parser.add_argument("--frames", type=int, default=64, help="of the dataset (64)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each hint (3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [str(Path(sys.executable).with_name("matting")), "build", "--weights", "bundled"]
        command += ["--precisions", "FP32", "--frames", "1", "--quiet", "--output", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (xml,) = folder.glob("public/*/FP32/*.xml")
        data = make_data(folder / "set", options.frames)
        figures = []
        for hint in HINTS:
            model = make_model(xml, hint)
            figures += compare_with_bare(
                "evaluation",
                hint,
                options.frames,
                options.rounds,
                partial(time_ours, model, data, folder / "work"),
                partial(time_bare, xml, hint, load_feeds(model, data), options.frames),
            )
        figures.append(_growth(xml, data, folder))
        return conclude("evaluate", figures)


def _growth(xml: Path, data: Path, folder: Path) -> Figure:
    many = folder / "many"
    for kind in ("com", "bgr", "fgr"):
        for clip in (data / kind).iterdir():
            for copy in "abc":
                shutil.copytree(clip, many / kind / f"{copy}{clip.name}", copy_function=os.link)
    told = subprocess.run(
        [sys.executable, "-c", PEAK, str(xml), str(data), str(many), str(folder / "peak")],
        check=True,
        capture_output=True,
        text=True,
    )
    growth = float(told.stdout.split()[-1])
    return Figure("growth of memory with 3 x the frames", growth, "MiB", GROWTH_MIB)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
