"""Foregrounds with their mattes, put over backgrounds when they are read.

Found are RGBA cutouts, or folders fgr/ and pha/, or files fgr_NAME and pha_NAME side by side; any
of them in folders, which are clips.  Which background comes behind what is drawn from a seed and
from names alone, so that it does not depend on what else is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.frames.dataset import (
    Dataset,
    Fault,
    Raw,
    Sample,
    Size,
    channel,
    contents,
    key_of,
    same_size,
)
from toolchain.frames.headers import header
from toolchain.frames.pixels import fitted, grey, rgb, rgba, size_of
from toolchain.frames.published import clip_of, pictures_below, pictures_by_name
from toolchain.frames.recent import Recent

FORMS = (
    "folders com/, bgr/ and fgr/ (RGBA truth); or RGBA cutouts; or folders fgr/ and pha/; or files "
    "fgr_NAME and pha_NAME side by side"
)
SIDE_BY_SIDE = ("fgr_", "pha_")
_BACKGROUNDS = Recent(4)
Named = tuple[str, Path, Path | None]  # name, foreground, matte


@dataclass(frozen=True)
class CompositedItem:
    """`matte`: None where `foreground` is RGBA.  `fit`: whether `background` is cut to size."""

    clip: str
    name: str
    foreground: Path
    matte: Path | None
    background: Path
    fit: bool

    def inspect(self) -> None:
        """See `Item.inspect`."""
        found = {path: header(path) for path in self._paths()}
        if self.matte is None and not found[self.foreground].alpha:
            raise _no_alpha(self.foreground)
        if self.fit:
            del found[self.background]
        same_size({path: head.size for path, head in found.items()})

    def read(self) -> Raw:
        """See `Item.read`."""
        files = {path: contents(path) for path in self._paths()}
        behind = key_of(files[self.background])

        def sample(size: Size) -> Sample:
            colours, alpha = self._truth(files)
            full = size_of(colours)
            room = _BACKGROUNDS.get(
                (behind, full, self.fit), lambda: self._room(files[self.background], full)
            )
            frame = composite(colours, alpha, room)
            return Sample(fitted(frame, size), fitted(room, size), alpha, colours)

        rest = (data for path, data in files.items() if path != self.background)
        return Raw(key_of("composited", str(self.fit), behind, *rest), sample)

    def _paths(self) -> Iterator[Path]:
        yield self.foreground
        if self.matte is not None:
            yield self.matte
        yield self.background

    def _truth(self, files: dict[Path, bytes]) -> tuple[Pixels, Pixels]:
        data = files[self.foreground]
        if self.matte is None:
            cutout = rgba(self.foreground, data)
            if cutout is None:
                raise _no_alpha(self.foreground)
            return cutout[..., :3], channel(cutout, 3)
        foreground, matte = rgb(self.foreground, data), grey(self.matte, files[self.matte])
        same_size({self.foreground: size_of(foreground), self.matte: size_of(matte)})
        return foreground, matte

    def _room(self, data: bytes, size: Size) -> Pixels:
        picture = rgb(self.background, data)
        if self.fit:
            image = ImageOps.fit(Image.fromarray(picture), size, Image.Resampling.BILINEAR)
            return np.asarray(image, np.uint8)
        same_size({self.foreground: size, self.background: size_of(picture)})
        return picture


def composite(colours: Pixels, alpha: Pixels, room: Pixels) -> Pixels:
    """A F + (1 - A) B of H x W x 3 and H x W uint8 pictures, rounded to the nearest."""
    cover = alpha[..., None].astype(np.uint16)
    mixed = cover * colours + (255 - cover) * room + 128
    return np.asarray((mixed + (mixed >> 8)) >> 8, np.uint8)  # / 255 without a division


def composited(root: Path, backgrounds: Path | None, seed: int) -> Dataset:
    """The dataset in `root`; `backgrounds`: a folder of pictures, else `root`/bgr.

    A plate of the foreground's own name in `root`/bgr is its background.  Frames of one folder
    share one background, as those of a clip; frames that lie in none have one each.
    Raises FrameError if there are no foregrounds, or no backgrounds.
    """
    base = root / "matting" if (root / "clip_img").is_dir() else root
    faults: list[Fault] = []
    named = list(_named(base, root, backgrounds, faults))
    if not named and not faults:
        raise FrameError(f"{root}: holds no frames with known truth", hint=f"Give {FORMS}.")
    beside = root / "bgr"
    own = pictures_by_name(beside) if backgrounds is None and beside.is_dir() else {}
    pool = list(pictures_below(backgrounds)) if backgrounds else list(own.values())
    if not pool:
        raise FrameError(
            f"{backgrounds or root}: holds no backgrounds for the foregrounds",
            hint="Name a folder of pictures with --backgrounds.",
        )
    items = []
    for name, foreground, matte in named:
        plate = own.get(name)
        clip = clip_of(name, root)
        drawn = _drawn(name if PurePosixPath(name).name == name else clip, seed, pool)
        items.append(
            CompositedItem(clip, name, foreground, matte, plate or drawn, fit=plate is None)
        )
    return Dataset("composited", root.name, tuple(items), root, seed, tuple(faults))


def _named(
    base: Path, root: Path, backgrounds: Path | None, faults: list[Fault]
) -> Iterator[Named]:
    if (base / "fgr").is_dir() and (base / "pha").is_dir():
        yield from _partners(
            pictures_by_name(base / "fgr"), pictures_by_name(base / "pha"), ("fgr/", "pha/"), faults
        )
        return
    if (base / "fgr").is_dir():
        base = base / "fgr"
    apart = {path.resolve() for path in (backgrounds, root / "bgr") if path is not None}
    found = {
        name: path
        for name, path in pictures_by_name(base).items()
        if not apart.intersection(path.resolve().parents)
    }
    halves: list[dict[str, Path]] = [{}, {}]
    for name, path in found.items():
        for half, prefix in zip(halves, SIDE_BY_SIDE, strict=True):
            if path.stem.startswith(prefix):
                half[PurePosixPath(name).with_name(path.stem[len(prefix) :] or "_").as_posix()] = (
                    path
                )
    if any(halves):
        yield from _partners(halves[0], halves[1], SIDE_BY_SIDE, faults)
    else:
        yield from ((name, path, None) for name, path in found.items())


def _partners(
    foregrounds: dict[str, Path],
    mattes: dict[str, Path],
    prefixes: tuple[str, str],
    faults: list[Fault],
) -> Iterator[Named]:
    for name in sorted({*foregrounds, *mattes}):
        if name in foregrounds and name in mattes:
            yield name, foregrounds[name], mattes[name]
        else:
            prefix = prefixes[int(name in foregrounds)]
            if prefix.endswith("/"):
                faults.append(Fault(prefix + name, "is missing"))
            else:
                path = PurePosixPath(name)
                faults.append(Fault(path.with_name(prefix + path.name).as_posix(), "is missing"))


def _drawn(what: str, seed: int, pool: list[Path]) -> Path:
    digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
    return pool[int.from_bytes(digest[:8], "big") % len(pool)]


def _no_alpha(path: Path) -> FrameError:
    return FrameError(f"{path}: has no alpha channel and no matte beside it", path=path)
