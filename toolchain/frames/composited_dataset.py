"""Datasets of foregrounds with mattes, composited over backgrounds when they are read.

Supported are RGBA cutouts; folders fgr/ and pha/; files fgr_NAME and pha_NAME in one folder.  Each
may be in subfolders, which are clips.  The background of a foreground is chosen by the seed and by
the foreground's name, so that other files do not change the choice.
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
    RawFrame,
    Sample,
    check_same_size,
    copy_channel,
    digest,
    get_clip,
    read_file,
)
from toolchain.frames.frame import Size
from toolchain.frames.image_files import map_images_by_name, walk_images
from toolchain.frames.image_header import read_header
from toolchain.frames.lru_cache import LruCache
from toolchain.frames.pixels import get_size, read_grey, read_rgb, read_rgba, resize

LAYOUTS = (
    "folders com/, bgr/ and fgr/ (RGBA ground truth); or RGBA cutouts; or folders fgr/ and pha/; "
    "or files fgr_NAME and pha_NAME in one folder"
)
PREFIXES = ("fgr_", "pha_")
_BACKGROUNDS = LruCache(4)
Foreground = tuple[str, Path, Path | None]  # name, foreground, matte; None for an RGBA cutout


@dataclass(frozen=True)
class CompositedItem:
    """A foreground over a background.

    Attributes:
        clip: Name of the clip.
        name: Name of the frame.
        foreground: File of the foreground, or of the RGBA cutout.
        matte: File of the matte; None if `foreground` is an RGBA cutout.
        background: File of the background.
        fit: Whether the background is cropped and resized to the foreground's size.
    """

    clip: str
    name: str
    foreground: Path
    matte: Path | None
    background: Path
    fit: bool

    def inspect(self) -> None:
        """See `Item.inspect`."""
        headers = {path: read_header(path) for path in self._files()}
        if self.matte is None and not headers[self.foreground].has_alpha:
            raise _missing_matte(self.foreground)
        if self.fit:
            del headers[self.background]
        check_same_size({path: header.size for path, header in headers.items()})

    def read(self) -> RawFrame:
        """See `Item.read`."""
        files = {path: read_file(path) for path in self._files()}
        background_key = digest(files[self.background])

        def decode(size: Size) -> Sample:
            foreground, alpha = self._decode_truth(files)
            full_size = get_size(foreground)
            background = _BACKGROUNDS.get_or_compute(
                (background_key, full_size, self.fit),
                lambda: self._decode_background(files[self.background], full_size),
            )
            frame = blend(foreground, alpha, background)
            return Sample(resize(frame, size), resize(background, size), alpha, foreground)

        rest = (data for path, data in files.items() if path != self.background)
        return RawFrame(digest("composited", str(self.fit), background_key, *rest), decode)

    def _files(self) -> Iterator[Path]:
        yield self.foreground
        if self.matte is not None:
            yield self.matte
        yield self.background

    def _decode_truth(self, files: dict[Path, bytes]) -> tuple[Pixels, Pixels]:
        data = files[self.foreground]
        if self.matte is None:
            cutout = read_rgba(self.foreground, data)
            if cutout is None:
                raise _missing_matte(self.foreground)
            return cutout[..., :3], copy_channel(cutout, 3)
        foreground = read_rgb(self.foreground, data)
        matte = read_grey(self.matte, files[self.matte])
        check_same_size({self.foreground: get_size(foreground), self.matte: get_size(matte)})
        return foreground, matte

    def _decode_background(self, data: bytes, size: Size) -> Pixels:
        pixels = read_rgb(self.background, data)
        if self.fit:
            image = ImageOps.fit(Image.fromarray(pixels), size, Image.Resampling.BILINEAR)
            return np.asarray(image, np.uint8)
        check_same_size({self.foreground: size, self.background: get_size(pixels)})
        return pixels


def blend(foreground: Pixels, alpha: Pixels, background: Pixels) -> Pixels:
    """Return A F + (1 - A) B, rounded to the nearest.

    Args:
        foreground: H x W x 3, uint8.
        alpha: H x W, uint8, 0..255.
        background: H x W x 3, uint8.
    """
    cover = alpha[..., None].astype(np.uint16)
    mixed = cover * foreground + (255 - cover) * background + 128
    return np.asarray((mixed + (mixed >> 8)) >> 8, np.uint8)  # / 255 without a division


def read_composited(root: Path, backgrounds: Path | None, seed: int) -> Dataset:
    """Find the foregrounds in `root` and choose a background for each.

    A foreground whose own name exists in `root`/bgr has that file as its clean plate.  All other
    frames of a clip share one background; a frame that is in no clip has its own.

    Args:
        root: Folder of the dataset.
        backgrounds: Folder of backgrounds; None for `root`/bgr.
        seed: Seed of the choice of backgrounds.

    Returns:
        The dataset; a foreground without matte, or a matte without foreground, is a fault.

    Raises:
        FrameError: There are no foregrounds, or no backgrounds.
    """
    base = root / "matting" if (root / "clip_img").is_dir() else root
    faults: list[Fault] = []
    foregrounds = list(_find_foregrounds(base, root, backgrounds, faults))
    if not foregrounds and not faults:
        raise FrameError(f"{root}: contains no frames with ground truth", hint=f"Give {LAYOUTS}.")
    plate_folder = root / "bgr"
    has_plates = backgrounds is None and plate_folder.is_dir()
    plates = map_images_by_name(plate_folder) if has_plates else {}
    pool = list(walk_images(backgrounds)) if backgrounds else list(plates.values())
    if not pool:
        raise FrameError(
            f"{backgrounds or root}: contains no backgrounds for the foregrounds",
            hint="Give a folder of images with --backgrounds.",
        )
    items = []
    for name, foreground, matte in foregrounds:
        clip, plate = get_clip(name, root), plates.get(name)
        chosen = _choose(clip if "/" in name else name, seed, pool)
        items.append(
            CompositedItem(clip, name, foreground, matte, plate or chosen, fit=plate is None)
        )
    return Dataset("composited", root.name, tuple(items), root, seed, tuple(faults))


def _find_foregrounds(
    base: Path, root: Path, backgrounds: Path | None, faults: list[Fault]
) -> Iterator[Foreground]:
    if (base / "fgr").is_dir() and (base / "pha").is_dir():
        yield from _join(
            map_images_by_name(base / "fgr"),
            map_images_by_name(base / "pha"),
            ("fgr/", "pha/"),
            faults,
        )
        return
    if (base / "fgr").is_dir():
        base = base / "fgr"
    excluded = {path.resolve() for path in (backgrounds, root / "bgr") if path is not None}
    found = {
        name: path
        for name, path in map_images_by_name(base).items()
        if not excluded.intersection(path.resolve().parents)
    }
    halves: list[dict[str, Path]] = [{}, {}]
    for name, path in found.items():
        for half, prefix in zip(halves, PREFIXES, strict=True):
            if path.stem.startswith(prefix):
                stem = path.stem.removeprefix(prefix) or "_"
                half[PurePosixPath(name).with_name(stem).as_posix()] = path
    if any(halves):
        yield from _join(halves[0], halves[1], PREFIXES, faults)
    else:
        yield from ((name, path, None) for name, path in found.items())


def _join(
    foregrounds: dict[str, Path],
    mattes: dict[str, Path],
    prefixes: tuple[str, str],
    faults: list[Fault],
) -> Iterator[Foreground]:
    """Join foregrounds and mattes of the same names; add a fault for each name without partner."""
    for name in sorted({*foregrounds, *mattes}):
        if name in foregrounds and name in mattes:
            yield name, foregrounds[name], mattes[name]
            continue
        prefix = prefixes[int(name in foregrounds)]
        folder, slash, file = name.rpartition("/")
        missing = prefix + name if prefix.endswith("/") else f"{folder}{slash}{prefix}{file}"
        faults.append(Fault(missing, "is missing"))


def _choose(name: str, seed: int, pool: list[Path]) -> Path:
    hashed = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return pool[int.from_bytes(hashed[:8], "big") % len(pool)]


def _missing_matte(path: Path) -> FrameError:
    return FrameError(f"{path}: has no alpha channel, and there is no matte for it", path=path)
