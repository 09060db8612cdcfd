"""Held-out sets for measuring the bundled weights; training uses none of them.

Generated composites are always included.  Real people with ground truth come from a folder of
`NAME_fgr`/`NAME_pha` or `fgr_NAME`/`pha_NAME` images, over photographs from PyPI packages and over
real clean plates, if there are any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from toolchain.definitions.arrays import Floats
from toolchain.frames.frame import Frame
from toolchain.frames.generated import composite
from training.people import person
from training.photographs import HELD_OUT, TRAINED_ON

SIZE = (1280, 720)
FIRST_SEED = 900_000  # of generated composites; training draws from pools of other seeds
FAULTS = ("exact", "degraded", "hand-held")


@dataclass(frozen=True)
class HeldOutSet:
    """`frames`: loaders of frames with ground truth."""

    name: str
    frames: tuple[Callable[[], Frame], ...]


def generated(count: int) -> HeldOutSet:
    """Composites as `toolchain.frames` makes them."""
    loaders = (partial(composite, FIRST_SEED + index, *SIZE) for index in range(count))
    return HeldOutSet("held-out generated composites", tuple(loaders))


def real(mattes: Path, plates: Path | None, fault: str) -> HeldOutSet:
    """Every person of `mattes`, twice, over every held-out room, with a plate of that fault.

    `fault`: "exact"; "degraded": moved by about 1 pixel, 3 % brighter or darker, noisy, and a
    shadow in the frame; "hand-held": moved by 8 pixels and rotated by 0.5 degrees.
    """
    people = list(_people(mattes))
    rooms = list(_rooms(plates))
    loaders = []
    for index, (name, colour, matte) in enumerate(people):
        for number, (title, room) in enumerate(rooms):
            for moved in (False, True):
                seed = (index, number, int(moved))
                title_ = f"{name}, {title}{', mirrored' if moved else ''}"
                loaders.append(partial(_composed, title_, colour, matte, room, fault, seed))
    return HeldOutSet(f"real people, {fault} plate", tuple(loaders))


def shown(fault: str, seed: int) -> Frame:
    """A drawn person over a held-out photograph, for images that may be shipped."""
    random = np.random.default_rng((seed, FIRST_SEED))
    textures = [photograph.read() for photograph in TRAINED_ON]
    alpha, colour = person(random, *SIZE, textures)
    room = filling(HELD_OUT[seed % len(HELD_OUT)].read())
    return _faulty(f"{fault} {seed}", colour, alpha, room, fault, (seed, 0, 0))


def filling(picture: Floats, share: float = 1.0) -> Floats:
    """Crop the middle of an image (`share` of it), upsampled to the frame size."""
    height, width = picture.shape[:2]
    across = min(width, height * SIZE[0] / SIZE[1]) * share
    down = across * SIZE[1] / SIZE[0]
    left, top = (width - across) / 2, (height - down) / 2
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    box = (left, top, left + across, top + down)
    return np.asarray(image.resize(SIZE, Image.Resampling.BILINEAR, box), np.float32) / 255


def _people(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    for path in sorted(folder.iterdir()):
        if re.search(r"(^|_)fgr(_|\.)", path.name):
            matte = path.with_name(re.sub(r"(^|_)fgr(_|\.)", r"\1pha\2", path.name))
            if matte.exists():
                yield path.stem, path, matte


def _rooms(plates: Path | None) -> Iterator[tuple[str, Floats]]:
    for photograph in HELD_OUT:
        picture = photograph.read()
        name = Path(photograph.path).stem
        yield name, filling(picture)
        yield f"part of {name}", filling(picture[:, ::-1], 0.6)
    for path in sorted(plates.glob("**/bgr.png")) if plates else ():
        with Image.open(path) as opened:
            yield path.parent.name, filling(np.asarray(opened.convert("RGB"), np.float32) / 255)


def _composed(
    name: str, colour: Path, matte: Path, room: Floats, fault: str, seed: tuple[int, int, int]
) -> Frame:
    with Image.open(colour) as opened:
        foreground = opened.convert("RGB").resize(SIZE, Image.Resampling.BOX)
    with Image.open(matte) as opened:
        alpha = opened.convert("L").resize(SIZE, Image.Resampling.BOX)
    f, a = (np.asarray(image, np.float32) / 255 for image in (foreground, alpha))
    if seed[2]:
        f, a = f[:, ::-1], a[:, ::-1]
        f = ndimage.shift(f, (60, 80, 0), order=1, mode="nearest")
        a = ndimage.shift(a, (60, 80), order=1)
    return _faulty(name, f, a, room, fault, seed)


def _faulty(
    name: str, colour: Floats, alpha: Floats, room: Floats, fault: str, seed: Sequence[int]
) -> Frame:
    random = np.random.default_rng(tuple(seed))
    behind, plate = room, room
    if fault == "degraded":
        shadow = ndimage.gaussian_filter(ndimage.shift(alpha, (12, 18), order=1), 15)
        behind = room * (1 - 0.3 * shadow[..., None])
        shift = random.choice([-1, 1], 2) * random.uniform(0.6, 1.0, 2)
        plate = ndimage.shift(room, (*shift, 0), order=1, mode="nearest")
        plate = plate * (1 + 0.03 * random.choice([-1, 1]))
        plate = plate + random.normal(0, 0.01, room.shape)
    elif fault == "hand-held":
        plate = ndimage.rotate(room, 0.5, reshape=False, order=1, mode="nearest")
        plate = ndimage.shift(plate, (0, 8, 0), order=1, mode="nearest")
    cover = alpha[..., None]
    src = cover * colour + (1 - cover) * behind
    src, plate = (np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8) for x in (src, plate))
    return Frame(name, src, plate, alpha, colour)
