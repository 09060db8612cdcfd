"""The whole chain, download to mattes, on the oldest OpenVINO we support and on this one."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from parity.environment import Tools, older_openvino
from parity.findings import Finding
from toolchain.frames.generated import composites

VERSION = "import openvino; print(openvino.__version__.partition('-')[0])"
MODELS = ("FP32", "FP16")
FRAMES = 2
SEED, SIZE = 2026, (320, 192)  # of frames that show both a figure and the room
INSIDE = 128  # the alpha from which on a pixel is the figure's
Looked = tuple[bool, str]


def check(tools: Tools, folder: Path, older: Path) -> Iterator[Finding]:
    """`matting build`, `evaluate` and `run` with the bundled weights.

    `older`: where the other environment lies.
    """
    pictures = folder / "pictures"
    _write(pictures)
    for python in (older_openvino(older), Path(sys.executable)):
        version = tools.run([str(python), "-c", VERSION]).out.strip()
        output, mattes = folder / version / "build", folder / version / "mattes"
        weights = ("--weights", "bundled", "--output", output)
        scored = ("--models", ",".join(MODELS), "--frames", FRAMES)
        shots = ("--src", pictures / "src", "--bgr", pictures / "bgr", "--output", mattes)
        steps = (
            (("build", *weights, "--frames", 1), _validated, output),
            (("evaluate", *weights, *scored), _evaluated, output),
            (("run", "--model", output, *shots), _matted, mattes),
        )
        for words, look, place in steps:
            ran = tools.run([str(python), "-m", "toolchain", *map(str, words), "--quiet"])
            fine, told = look(place)
            good = ran.code == 0 and fine
            said = f"exit {ran.code}, {told}" + ("" if good else f": {ran.err.strip()[-400:]}")
            yield Finding("chain", f"matting {words[0]} on OpenVINO {version}", "", said, good)


def _write(folder: Path) -> None:
    for frame in composites(FRAMES, SEED, *SIZE):
        for part, pixels in (("src", frame.src), ("bgr", frame.bgr)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"{frame.name}.png")


def _validated(output: Path) -> Looked:
    found = [json.loads(path.read_text("utf-8")) for path in output.rglob("validation.json")]
    verdict = found[0]["verdict"] if found else "no verdict"
    return verdict == "pass", verdict


def _evaluated(output: Path) -> Looked:
    """Every frame by every model, and each mean and bound a number."""
    found = [json.loads(path.read_text("utf-8")) for path in output.rglob("evaluation.json")]
    if not found:
        return False, "no metrics"
    entries = {entry["model"]: entry for entry in found[0]["models"]}
    frames = [entries[model]["frames"] if model in entries else 0 for model in MODELS]
    figures = [
        figure
        for entry in entries.values()
        for metric in entry["total"].values()
        for figure in metric.values()
    ]
    finite = all(map(math.isfinite, figures))
    told = f"{min(frames)} of {FRAMES} frames" + ("" if finite else ", not finite")
    return finite and min(frames) == FRAMES, told


def _matted(mattes: Path) -> Looked:
    """A picture for every frame, of its size, with a figure cut out; NaN would leave one tone."""
    alphas = [_alpha(path) for path in mattes.glob("*.png")]
    good = 0
    for alpha in alphas:
        low, high = alpha.getextrema()
        good += alpha.size == SIZE and low < INSIDE <= high
    return len(alphas) == good == FRAMES, f"{good} of {FRAMES} mattes"


def _alpha(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGBA").getchannel("A")
