"""Pictures of real scenes: pairs of a frame and the clean plate taken without anybody in it."""

from __future__ import annotations

from pathlib import Path

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.frames.frame import Frame
from toolchain.frames.pictures import picture_files
from toolchain.frames.pixels import fitted, rgb, size_of

FORMS = (
    "a folder with src.png and bgr.png; or files NAME_src.png with NAME_bgr.png or one bgr.png; "
    "or folders src/ and bgr/ with files of the same names, or with one plate for all; or "
    "folders of any of these"
)
Pair = tuple[str, Path, Path]


def read_pairs(folder: Path) -> list[Pair]:
    """Name, frame and plate of every pair in `folder`, in order of name.

    Found are: `src.*` with `bgr.*`; `NAME_src.*` with `NAME_bgr.*` or the folder's one `bgr.*`;
    the files of `src/` with those of the same stem in `bgr/`, or with its only file; the same in
    the folders below.  Raises FrameError for a folder without any, and for a frame without plate.
    """
    if not folder.is_dir():
        raise FrameError(f"{folder}: is not a folder", hint=f"Give {FORMS}.")
    folder = folder.resolve()
    pairs = _below(folder, folder)
    if not pairs:
        raise FrameError(f"{folder}: holds no pair of frame and plate", hint=f"Give {FORMS}.")
    return pairs


def load_pair(name: str, src: Path, bgr: Path, size: tuple[int, int]) -> Frame:
    """The pair as a Frame of `size` (width, height), resized with Pillow's BILINEAR if need be.

    Raises FrameError naming the file that is missing, truncated, no picture, or of other
    size than its partner.
    """

    def by(pixels: Pixels) -> str:
        return "{}x{}".format(*size_of(pixels))

    frame, plate = rgb(src), rgb(bgr)
    if size_of(frame) != size_of(plate):
        raise FrameError(
            f"{bgr}: the plate has {by(plate)} pixels, the frame {src.name} {by(frame)}",
            hint="Take both with the same camera settings.",
        )
    return Frame(name, fitted(frame, size), fitted(plate, size))


def _below(folder: Path, root: Path) -> list[Pair]:
    files = picture_files(folder)
    names = {path.stem.lower(): path for path in files}
    own_plate = names.get("bgr")
    where = folder.relative_to(root).as_posix()
    prefix = folder.name if where == "." else where
    pairs: list[Pair] = []
    for path in files:
        stem = path.stem.lower()
        if stem == "src":
            pairs.append((prefix, path, _plate(own_plate, path)))
        elif stem.endswith("_src"):
            plate = names.get(stem.removesuffix("_src") + "_bgr", own_plate)
            pairs.append((f"{prefix}/{path.stem[:-4]}", path, _plate(plate, path)))
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    if "src" in folders and "bgr" in folders:
        plates = picture_files(folders.pop("bgr"))
        by_stem = {path.stem: path for path in plates}
        for path in picture_files(folders.pop("src")):
            plate = by_stem.get(path.stem, plates[0] if len(plates) == 1 else None)
            pairs.append((f"{prefix}/{path.stem}", path, _plate(plate, path)))
    for below in folders.values():
        if not below.is_symlink() and not below.name.startswith("."):
            pairs += _below(below, root)
    return pairs


def _plate(found: Path | None, src: Path) -> Path:
    if found is None:
        raise FrameError(f"{src}: has no clean plate beside it", hint=f"Give {FORMS}.")
    return found
