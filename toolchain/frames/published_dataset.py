"""Datasets in the layout of the published test set.

Folders `com` (composite), `bgr` (clean plate) and `fgr` (ground truth, 8-bit RGBA) contain files of
the same names CLIP/FRAME.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.definitions.arrays import Pixels
from toolchain.frames.dataset import (
    Dataset,
    Fault,
    RawFrame,
    Sample,
    check_same_size,
    copy_channel,
    digest,
    get_clip,
    missing_alpha,
    read_file,
)
from toolchain.frames.frame import Size
from toolchain.frames.image_files import map_images_by_name
from toolchain.frames.image_header import read_header
from toolchain.frames.lru_cache import LruCache
from toolchain.frames.pixels import get_size, read_rgb, read_rgba, resize

FOLDERS = ("com", "bgr", "fgr")
_PLATES = LruCache(4)  # the frames of a clip often share one plate


@dataclass(frozen=True)
class PublishedItem:
    """A frame in three files.

    Attributes:
        clip: Name of the clip.
        name: Name of the frame.
        com: File of the composite.
        bgr: File of the clean plate.
        fgr: File of the ground truth, RGBA.
    """

    clip: str
    name: str
    com: Path
    bgr: Path
    fgr: Path

    def inspect(self) -> None:
        """See `Item.inspect`."""
        headers = {path: read_header(path) for path in (self.com, self.bgr, self.fgr)}
        if not headers[self.fgr].has_alpha:
            raise missing_alpha(self.fgr)
        check_same_size({path: header.size for path, header in headers.items()})

    def read(self) -> RawFrame:
        """See `Item.read`."""
        com, bgr, fgr = (read_file(path) for path in (self.com, self.bgr, self.fgr))
        plate_key = digest(bgr)

        def decode(size: Size) -> Sample:
            frame = read_rgb(self.com, com)
            plate_size, plate = _PLATES.get_or_compute(
                (plate_key, size), lambda: self._decode_plate(bgr, size)
            )
            truth = read_rgba(self.fgr, fgr)
            if truth is None:
                raise missing_alpha(self.fgr)
            check_same_size(
                {self.com: get_size(frame), self.bgr: plate_size, self.fgr: get_size(truth)}
            )
            return Sample(resize(frame, size), plate, copy_channel(truth, 3), truth[..., :3])

        return RawFrame(digest("published", com, plate_key, fgr), decode)

    def _decode_plate(self, data: bytes, size: Size) -> tuple[Size, Pixels]:
        plate = read_rgb(self.bgr, data)
        return get_size(plate), resize(plate, size)


def is_published_layout(root: Path) -> bool:
    """Whether `root` contains the three folders of the layout."""
    return all((root / folder).is_dir() for folder in FOLDERS)


def read_published(root: Path) -> Dataset:
    """Find the frames in `root`, sorted by name.  A frame that lacks a file becomes a fault.

    Raises:
        FrameError: Two files of a folder have the same name and differ in their suffix.
    """
    files = {folder: map_images_by_name(root / folder) for folder in FOLDERS}
    items, faults = [], []
    for name in sorted({name for found in files.values() for name in found}):
        missing = [f"{folder}/{name}" for folder in FOLDERS if name not in files[folder]]
        if missing:
            faults.append(Fault(missing[0], ", and so is ".join(["is missing", *missing[1:]])))
        else:
            paths = (files[folder][name] for folder in FOLDERS)
            items.append(PublishedItem(get_clip(name, root), name, *paths))
    return Dataset("published", root.name, tuple(items), root, None, tuple(faults))
