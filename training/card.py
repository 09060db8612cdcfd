"""Measure the bundled weights, write their card and images, and their digest into model.yml.

    python -m training.card --mattes DIR --plates DIR

The converted model is measured, FP16 IR at f32.  `--mattes` has real people with ground truth
(`fgr_NAME`, `pha_NAME`), `--plates` real clean plates (`bgr.png`).  Without them the card has
generated composites only, and states it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.checkpoints.load import load_checkpoint, load_network
from toolchain.cli.console import make_listener
from toolchain.definitions.metrics import PUBLISHED_METRICS
from toolchain.frames.frame import Frame
from toolchain.metrics.score import Matte, mean_scores, published_scores
from toolchain.network.resize import bilinear
from toolchain.pipeline.build import build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights
from toolchain.progress import Listener
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.workspace.atomic import write_bytes
from toolchain.workspace.digests import file_digest
from training.bundled import RAISED, TARGET
from training.held_out import FAULTS, HeldOutSet, generated, real
from training.keys import KeyTuner, TunedKey, plain_key
from training.photographs import HELD_OUT, TRAINED_ON
from training.pictures import contact_sheet
from training.plots import plot_history
from training.recipe import LEAST_VARIANCE

CONFIG = Path("model.yml")


@dataclass(frozen=True)
class SetResult:
    """Means over a set.  `coarse`: alpha before refinement.  `patches`: smallest number refined."""

    name: str
    frames: int
    network: dict[str, float]
    coarse: dict[str, float]
    plain: float
    tuned: TunedKey
    patches: int


class Matter:
    """The weights as converted (FP16 IR at f32), and as PyTorch for the matte before refining."""

    def __init__(self, weights: Path, folder: Path) -> None:
        model = read_model(builtin_config())
        chosen = choose_weights(model, str(weights), folder)
        request = BuildRequest(
            model, chosen, folder, precisions=("FP16",), stages=("download", "export", "convert")
        )
        build(request)
        self._ir = OpenVinoRuntime(request.layout.ir("FP16"), "f32")
        self._network = load_network(weights)

    def matte(self, frame: Frame) -> tuple[np.ndarray, np.ndarray, int]:
        """Alpha H x W and foreground H x W x 3, 0..1, and how many patches were refined."""
        found = self._ir.infer(frame.src, frame.bgr)
        return found.pha, found.fgr, int(found.ref.sum())

    def coarse(self, frame: Frame) -> np.ndarray:
        """The base network's alpha, upsampled to the frame's size."""
        height, width = frame.src.shape[:2]
        both = torch.cat([_tensor(frame.src), _tensor(frame.bgr)], 1)
        with torch.inference_mode():
            base = self._network.base(bilinear(both, (height // 4, width // 4)))
            return np.asarray(bilinear(base.pha, (height, width))[0, 0])


def measure(matter: Matter, held_out: HeldOutSet, listener: Listener) -> SetResult:
    """Score the network, the matte before refinement and both keys on a set."""
    refined, coarse, plain, patches = [], [], [], []
    tuner = KeyTuner()
    with listener.task(held_out.name, len(held_out.frames), "frames") as task:
        for index, load in enumerate(held_out.frames):
            frame = load()
            assert frame.alpha is not None
            assert frame.foreground is not None
            truth = Matte(frame.alpha, frame.foreground)
            alpha, foreground, count = matter.matte(frame)
            patches.append(count)
            refined.append(published_scores(Matte(alpha, foreground), truth))
            coarse.append(published_scores(Matte(matter.coarse(frame), foreground), truth))
            key = plain_key(frame.src, frame.bgr)
            plain.append(1000 * float(np.abs(key - frame.alpha).mean()))
            tuner.add(frame)
            task.reach(index + 1)
    return SetResult(
        held_out.name,
        len(patches),
        mean_scores(refined) or {},
        mean_scores(coarse) or {},
        float(np.mean(plain)),
        tuner.best(),
        min(patches),
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, write card and images, update size and digest."""
    parser = argparse.ArgumentParser(
        prog="python -m training.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mattes", type=Path, help="real people with ground truth")
    parser.add_argument("--plates", type=Path, help="folder of real clean plates")
    parser.add_argument("--frames", type=int, default=64, help="generated composites (64)")
    parser.add_argument("--weights", type=Path, default=TARGET, help=f"what to measure ({TARGET})")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="its records")
    parser.add_argument("--dry-run", action="store_true", help="print the card, write nothing")
    options = parser.parse_args(arguments)
    sets = [generated(options.frames)]
    if options.mattes:
        sets += [real(options.mattes, options.plates, fault) for fault in FAULTS]
    listener = make_listener()
    with tempfile.TemporaryDirectory() as folder:
        matter = Matter(options.weights, Path(folder))
        results = [measure(matter, held_out, listener) for held_out in sets]
        text = _card(options.weights, results, _history(options.work))
        if options.dry_run:
            print(text)
            return 0
        sheet = contact_sheet(lambda frame: matter.matte(frame)[:2])
        write_bytes(TARGET.with_suffix(".jpg"), sheet)
    history = _history(options.work)
    if history:
        target = TARGET.with_name(f"{TARGET.stem}-losses.png")
        plot_history(history["losses"], history["held_out"], target)
    write_bytes(TARGET.with_suffix(".md"), text.encode())
    print(text)
    return _enter(options.weights)


def _history(work: Path) -> dict[str, Any]:
    path = work / "history.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _enter(weights: Path) -> int:
    """Write size and digest into model.yml."""
    digest, size = file_digest(weights, "sha384").value, weights.stat().st_size
    config = CONFIG.read_text(encoding="utf-8")
    pattern = rf"(name: {re.escape(TARGET.name)}\n  size: )\d+(\n  checksum: )[0-9a-f]{{96}}"
    entered, count = re.subn(pattern, rf"\g<1>{size}\g<2>{digest}", config)
    if count != 1:
        print(f"{CONFIG}: set size {size} and checksum {digest} manually", file=sys.stderr)
        return 1
    write_bytes(CONFIG, entered.encode())
    return 0


def _card(weights: Path, results: list[SetResult], history: dict[str, Any]) -> str:
    made, *_ = results
    template = Path(__file__).with_name("card.template.md").read_text(encoding="utf-8")
    rows = [
        f"| {r.name} ({r.frames}) | **{r.network['alpha_mad']:.2f}** | {r.plain:.1f} | "
        f"{r.tuned.mad:.1f} | {r.network['alpha_mad'] / r.tuned.mad:.2f} | {r.patches} |"
        for r in results
    ]
    metrics = [
        " | ".join([f"| {name}", *(f"{found[metric.key]:.2f}" for metric in PUBLISHED_METRICS)])
        + " |"
        for name, found in (("converted network", made.network), ("before refining", made.coarse))
    ]
    licences = [f"{p.what} ({p.package}, {p.licence})" for p in TRAINED_ON]
    return template.format(
        about=load_checkpoint(weights).metadata["about"],
        minutes=f"{history['seconds'] / 60:.0f}" if history else "?",
        size=weights.stat().st_size,
        digest=file_digest(weights, "sha384").value,
        photographs="; ".join(licences),
        held_out="; ".join(f"{p.what} ({p.package}, {p.licence})" for p in HELD_OUT),
        sets="\n".join(rows),
        metrics="\n".join(metrics),
        frames=made.frames,
        least=LEAST_VARIANCE,
        raised=RAISED,
    )


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)


if __name__ == "__main__":
    sys.exit(main())
