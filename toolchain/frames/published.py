"""The layout of the published test set: com/, bgr/ and fgr/ with the same CLIP/FRAME in each.

`com`: the composite; `bgr`: the clean plate; `fgr`: the truth, 8-bit RGBA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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
from toolchain.frames.pictures import picture_files
from toolchain.frames.pixels import fitted, rgb, rgba, size_of
from toolchain.frames.recent import Recent

FOLDERS = ("com", "bgr", "fgr")
_PLATES = Recent(4)  # a clip is often shot before one plate


@dataclass(frozen=True)
class PublishedItem:
    """Three files of one frame."""

    clip: str
    name: str
    com: Path
    bgr: Path
    fgr: Path

    def inspect(self) -> None:
        """See `Item.inspect`."""
        found = {path: header(path) for path in (self.com, self.bgr, self.fgr)}
        if not found[self.fgr].alpha:
            raise _no_alpha(self.fgr)
        same_size({path: head.size for path, head in found.items()})

    def read(self) -> Raw:
        """See `Item.read`."""
        com, bgr, fgr = (contents(path) for path in (self.com, self.bgr, self.fgr))
        plate = key_of(bgr)

        def sample(size: Size) -> Sample:
            frame = rgb(self.com, com)
            full, small = _PLATES.get((plate, size), lambda: self._plate(bgr, size))
            truth = rgba(self.fgr, fgr)
            if truth is None:
                raise _no_alpha(self.fgr)
            same_size({self.com: size_of(frame), self.bgr: full, self.fgr: size_of(truth)})
            return Sample(fitted(frame, size), small, channel(truth, 3), truth[..., :3])

        return Raw(key_of("published", com, plate, fgr), sample)

    def _plate(self, data: bytes, size: Size) -> tuple[Size, Pixels]:
        plate = rgb(self.bgr, data)
        return size_of(plate), fitted(plate, size)


def is_published(root: Path) -> bool:
    """Whether `root` has the three folders."""
    return all((root / folder).is_dir() for folder in FOLDERS)


def published(root: Path) -> Dataset:
    """The dataset in `root`, by clip and name; a frame that lacks one of its files is a fault."""
    files = {folder: pictures_by_name(root / folder) for folder in FOLDERS}
    items, faults = [], []
    for name in sorted({name for found in files.values() for name in found}):
        missing = [f"{folder}/{name}" for folder in FOLDERS if name not in files[folder]]
        if missing:
            faults.append(Fault(missing[0], ", and so is ".join(["is missing", *missing[1:]])))
        else:
            paths = (files[folder][name] for folder in FOLDERS)
            items.append(PublishedItem(clip_of(name, root), name, *paths))
    return Dataset("published", root.name, tuple(items), root, None, tuple(faults))


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """The pictures below `folder`, by their path in it without suffix, in order.

    Raises FrameError where two files have one name.
    """
    found: dict[str, Path] = {}
    for path in pictures_below(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise FrameError(
                f"{path}: has the name of {found[name].name} beside it",
                hint="Keep one of them.",
                path=path,
            )
        found[name] = path
    return dict(sorted(found.items()))


def pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures in `folder` and the folders below it, in order; links to folders are left."""
    yield from picture_files(folder)
    for below in sorted(folder.iterdir()):
        if below.is_dir() and not below.is_symlink() and not below.name.startswith("."):
            yield from pictures_below(below)


def clip_of(name: str, root: Path) -> str:
    """The folder part of a frame's name; that of the dataset where there is none."""
    parent = PurePosixPath(name).parent.as_posix()
    return root.name if parent == "." else parent


def _no_alpha(path: Path) -> FrameError:
    return FrameError(f"{path}: has no alpha channel, expected RGBA", path=path)
