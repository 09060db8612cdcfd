"""Build, evaluation and run on the oldest supported OpenVINO, and on the installed one."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from parity.environment import Tools, prepare_older_openvino
from parity.findings import Finding
from toolchain.frames.generated import composites

VERSION = "import openvino; print(openvino.__version__.partition('-')[0])"
MODELS = ("FP32", "FP16")
FRAMES = 2
SEED, SIZE = 2026, (320, 192)  # of frames that show the subject and the background
SUBJECT_ALPHA = 128  # from which on a pixel belongs to the subject
Checked = tuple[bool, str]


def check(tools: Tools, folder: Path, older: Path) -> Iterator[Finding]:
    """Run `matting build`, `evaluate` and `run` with the bundled weights.

    Args:
        tools: The tools.
        folder: Folder for all files.
        older: Folder of the environment with the oldest supported OpenVINO.

    Yields:
        One finding per command and OpenVINO.
    """
    images = folder / "images"
    _write_images(images)
    for python in (prepare_older_openvino(older), Path(sys.executable)):
        version = tools.run([str(python), "-c", VERSION]).out.strip()
        output, mattes = folder / version / "build", folder / version / "mattes"
        weights = ("--weights", "bundled", "--output", output)
        scored = ("--models", ",".join(MODELS), "--frames", FRAMES)
        shots = ("--src", images / "src", "--bgr", images / "bgr", "--output", mattes)
        steps = (
            (("build", *weights, "--frames", 1), _check_validation, output),
            (("evaluate", *weights, *scored), _check_evaluation, output),
            (("run", "--model", output, *shots), _check_mattes, mattes),
        )
        for words, check_results, results in steps:
            ran = tools.run([str(python), "-m", "toolchain", *map(str, words), "--quiet"])
            passed, summary = check_results(results)
            good = ran.code == 0 and passed
            text = f"exit {ran.code}, {summary}" + ("" if good else f": {ran.err.strip()[-400:]}")
            yield Finding("chain", f"matting {words[0]} on OpenVINO {version}", "", text, good)


def _write_images(folder: Path) -> None:
    for frame in composites(FRAMES, SEED, *SIZE):
        for part, pixels in (("src", frame.src), ("bgr", frame.bgr)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"{frame.name}.png")


def _check_validation(output: Path) -> Checked:
    found = [json.loads(path.read_text("utf-8")) for path in output.rglob("validation.json")]
    verdict = found[0]["verdict"] if found else "no verdict"
    return verdict == "pass", verdict


def _check_evaluation(output: Path) -> Checked:
    """Every model has all frames, and each mean and bound is finite."""
    found = [json.loads(path.read_text("utf-8")) for path in output.rglob("evaluation.json")]
    if not found:
        return False, "no metrics"
    entries = {entry["form"]: entry for entry in found[0]["models"]}
    frames = min(entries[model]["frames"] if model in entries else 0 for model in MODELS)
    finite = all(
        math.isfinite(figure)
        for entry in entries.values()
        for metric in entry["total"].values()
        for figure in metric.values()
    )
    summary = f"{frames} of {FRAMES} frames" + ("" if finite else ", not finite")
    return finite and frames == FRAMES, summary


def _check_mattes(mattes: Path) -> Checked:
    """Every frame has an image of its size that shows both subject and background."""
    alphas = [_read_alpha(path) for path in mattes.glob("*.png")]
    good = 0
    for alpha in alphas:
        low, high = alpha.getextrema()
        good += alpha.size == SIZE and low < SUBJECT_ALPHA <= high
    return len(alphas) == good == FRAMES, f"{good} of {FRAMES} mattes"


def _read_alpha(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGBA").getchannel("A")
