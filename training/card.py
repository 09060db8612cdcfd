"""Measure the bundled weights, write their card, and enter their digest into model.yml.

python -m training.card --minutes 47     (how long the training said that it took)
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from toolchain.cli.console import listener
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from toolchain.measures.keying import plain_key
from toolchain.measures.matting import MattingScore, score
from toolchain.network.checkpoint import load_network, safetensors_metadata
from toolchain.network.matting import MattingNetwork
from toolchain.network.resize import bilinear
from toolchain.workspace.atomic import write_bytes
from toolchain.workspace.digests import file_digest
from training.stand_in import TARGET

HELD_OUT = 900_000  # seeds from here on are never trained on: training draws from pools of its own
CONFIG = Path("model.yml")
METRICS = ("alpha_mad", "alpha_mse", "alpha_grad", "foreground_mse")
CARD = """\
# background-matting-mobilenetv2-bundled: a stand-in

Weights for exactly the published network (BackgroundMattingV2, MobileNetV2 backbone, 382 entries),
trained from scratch on two CPU cores. A demonstration that needs no network, and no rival of the
published weights: where the quality of mattes matters, use those.

| | |
|---|---|
| data | figures (simple people with hair strands, blobs, strokes, veils, holes) and rooms |
| | drawn by `toolchain/frames`; no photograph, no other data set |
| recipe | `training/stand_in.py`, `make train`; {about} |
| duration | {minutes} minutes on 2 CPU cores, shared with other work |
| file | float16 values, {size:,} bytes, sha384 `{digest}` |
| licence | Apache-2.0 for these values; the network's definition is MIT, by its authors |

Accuracy on {frames} held-out generated composites at 1280x720, mean over the frames, whole frame;
MAD, MSE and foreground MSE x1000, GRAD /1000. PyTorch, float32. Two plates in five are exact, the
others shifted, brighter or darker, noisy, some frames with a shadow.

| | alpha MAD | alpha MSE | alpha GRAD | foreground MSE |
|---|---|---|---|---|
{rows}

On average {patches:.0f} of 5,000 patches are refined; the forecast error is above zero on
{err:.0%} of the quarter-size map.

Limits: never trained on a photograph; simple drawn people only; real hair, motion blur, objects
that moved between plate and frame, and hand-held plates are beyond it.
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the card, enter size and digest."""
    parser = argparse.ArgumentParser(prog="python -m training.card", description=__doc__)
    parser.add_argument("--minutes", type=int, required=True, help="what the training took")
    parser.add_argument("--frames", type=int, default=32)
    options = parser.parse_args(arguments)
    network = load_network(TARGET)
    scores: dict[str, list[MattingScore]] = {
        "network": [],
        "before refinement": [],
        "plain key": [],
    }
    patches, err = 0.0, 0.0
    with listener().task("measuring", options.frames, "frames") as task:
        for index in range(options.frames):
            frame = composite(HELD_OUT + index, 1280, 720)
            seen = _measured(network, frame)
            for name, found in seen.scores.items():
                scores[name].append(found)
            patches += seen.patches / options.frames
            err += seen.err / options.frames
            task.reach(index + 1)
    rows = [
        " | ".join([f"| {name}", *(f"{_mean(found, key):.2f}" for key in METRICS)]) + " |"
        for name, found in scores.items()
    ]
    metadata = safetensors_metadata(TARGET)
    digest, size = file_digest(TARGET, "sha384").value, TARGET.stat().st_size
    card = CARD.format(
        about=metadata["about"],
        minutes=options.minutes,
        size=size,
        digest=digest,
        frames=options.frames,
        rows="\n".join(rows),
        patches=patches,
        err=err,
    )
    write_bytes(TARGET.with_suffix(".md"), card.encode())
    config = CONFIG.read_text(encoding="utf-8")
    pattern = rf"(name: {re.escape(TARGET.name)}\n  size: )\d+(\n  checksum: )[0-9a-f]{{96}}"
    entered, count = re.subn(pattern, rf"\g<1>{size}\g<2>{digest}", config)
    if count != 1:
        print(f"{CONFIG}: enter size {size} and checksum {digest} by hand", file=sys.stderr)
        return 1
    write_bytes(CONFIG, entered.encode())
    print(card)
    return 0


@dataclass(frozen=True)
class _Measured:
    scores: dict[str, MattingScore]
    patches: float
    err: float


def _measured(network: MattingNetwork, frame: Frame) -> _Measured:
    assert frame.alpha is not None
    assert frame.foreground is not None
    with torch.inference_mode():
        out = network(_tensor(frame.src), _tensor(frame.bgr))
    foreground = out.fgr[0].permute(1, 2, 0).numpy()
    height, width = frame.alpha.shape
    mattes = {
        "network": out.pha[0, 0].numpy(),
        "before refinement": bilinear(out.pha_sm, (height, width))[0, 0].numpy(),
        "plain key": plain_key(frame.src, frame.bgr),
    }
    colours = {"plain key": frame.src.astype(np.float32) / 255}
    scores = {
        name: score(matte, colours.get(name, foreground), frame.alpha, frame.foreground)
        for name, matte in mattes.items()
    }
    return _Measured(scores, float(out.ref_sm.sum()), float((out.err_sm > 0).float().mean()))


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def _mean(scores: list[MattingScore], key: str) -> float:
    return sum(asdict(item)[key] for item in scores) / len(scores)


if __name__ == "__main__":
    sys.exit(main())
