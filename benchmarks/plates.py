"""Effect of a misaligned or differently lit clean plate, and of its correction.

Generated foregrounds over generated backgrounds, 1280x720, with ground truth; each plate is
shifted, rotated or dimmed, and used without and with `--align` and `--match-exposure`.
`--picture` writes the picture of `docs/plates.md`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import toolchain
from benchmarks.outcome import Figure, conclude
from toolchain.frames.foregrounds import draw_foreground
from toolchain.frames.scenes import draw_scene
from toolchain.run.plate_correction import correct_plate
from toolchain.run.request import Align

SIZE = (1280, 720)
PICTURE = Path("docs", "plates.jpg")


def shifted(plate: np.ndarray) -> np.ndarray:
    return warped(plate, np.array([[1, 0, 6.0], [0, 1, -4.0]]))


def turned(plate: np.ndarray) -> np.ndarray:
    return warped(plate, cv2.getRotationMatrix2D((640, 360), 0.7, 1.01))


def dimmed(plate: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.rint(plate * np.array([0.86, 0.9, 0.94])).astype(np.uint8)
    return result


def warped(plate: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    result: np.ndarray = cv2.warpAffine(plate, matrix, SIZE, borderMode=cv2.BORDER_REFLECT)
    return result


KINDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Align, bool]] = {
    "shifted by 6, 4 pixels; --align": (shifted, "translation", False),
    "rotated by 0.7 degrees, 1 % larger; --align homography": (turned, "homography", False),
    "dimmed by 14, 10, 6 %; --match-exposure": (dimmed, "none", True),
}


def make_pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame, plate and true alpha."""
    random = np.random.default_rng((seed, 8))
    room = draw_scene(random, *SIZE)
    alpha, colour = draw_foreground(random, *SIZE)
    frame = alpha[..., None] * colour + (1 - alpha[..., None]) * room
    pixels = [
        np.rint(np.clip(picture + random.normal(0, 0.006, picture.shape), 0, 1) * 255)
        for picture in (frame, room)
    ]
    return pixels[0].astype(np.uint8), pixels[1].astype(np.uint8), alpha


def main(arguments: Sequence[str] = ()) -> int:
    """Print alpha's MAD (x 1000) with the correct plate, the wrong one, and the corrected one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plates", description=__doc__)
    parser.add_argument("--frames", type=int, default=8, help="pairs (8)")
    parser.add_argument("--picture", action="store_true", help=f"write {PICTURE}")
    parser.add_argument("--model", type=Path, help="a build (bundled weights, built for this)")
    options = parser.parse_args(arguments)
    if options.model is not None:
        return conclude("plates", measure(toolchain.Matting(options.model, hint="f32"), options))
    with tempfile.TemporaryDirectory() as name:
        matting = str(Path(sys.executable).with_name("matting"))
        for stage in ("download", "export", "convert"):
            command = [matting, stage, "--weights", "bundled", "--quiet", "--output", name]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return conclude("plates", measure(toolchain.Matting(name, hint="f32"), options))


def measure(model: toolchain.Matting, options: argparse.Namespace) -> list[Figure]:
    """Means over the pairs."""
    found: dict[str, list[float]] = {}
    for seed in range(options.frames):
        frame, plate, alpha = make_pair(seed)

        def error(bgr: np.ndarray, frame: np.ndarray = frame, alpha: np.ndarray = alpha) -> float:
            return float(np.abs(model.matte(frame, bgr).alpha - alpha).mean()) * 1000

        found.setdefault("correct plate", []).append(error(plate))
        for kind, (spoil, align, exposure) in KINDS.items():
            wrong = spoil(plate)
            right = correct_plate(frame, wrong, align, exposure=exposure).plate
            found.setdefault(f"{kind}: not corrected", []).append(error(wrong))
            found.setdefault(f"{kind}: corrected", []).append(error(right))
            if options.picture and seed == options.frames - 1 and align == "translation":
                mattes = [model.matte(frame, bgr).alpha for bgr in (wrong, right)]
                save(frame, mattes)
    return [Figure(name, float(np.mean(values)), "") for name, values in found.items()]


def save(frame: np.ndarray, mattes: Sequence[np.ndarray]) -> None:
    """Write the frame, alpha with the shifted plate, and alpha with the aligned plate."""
    shown = [frame, *(np.dstack([np.rint(matte * 255).astype(np.uint8)] * 3) for matte in mattes)]
    row = Image.fromarray(np.hstack(shown)).resize((1440, 270), Image.Resampling.LANCZOS)
    row.save(PICTURE, quality=85)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
