"""Pairs of image files: a frame, and the clean plate that shows the same scene without people."""

from __future__ import annotations

from pathlib import Path

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.frames.frame import Frame, Size
from toolchain.frames.image_files import list_images
from toolchain.frames.pixels import get_size, read_rgb, resize

LAYOUTS = (
    "a folder with src.png and bgr.png; or files NAME_src.png with NAME_bgr.png or one bgr.png; "
    "or folders src/ and bgr/ with files of the same names, or with one plate for all; or "
    "folders of any of these"
)
Pair = tuple[str, Path, Path]  # name, frame, clean plate


def read_pairs(folder: Path) -> list[Pair]:
    """Find all pairs in a folder and its subfolders.

    A pair is `src.*` with `bgr.*`; `NAME_src.*` with `NAME_bgr.*` or the `bgr.*` of its folder; a
    file in `src/` with the file of the same stem in `bgr/`, or with the only file there.

    Args:
        folder: Folder with images.

    Returns:
        Name, frame and clean plate of each pair, sorted by name.

    Raises:
        FrameError: The folder does not exist, contains no pairs, or a frame has no clean plate.
    """
    if not folder.is_dir():
        raise FrameError(f"{folder}: is not a folder", hint=f"Give {LAYOUTS}.")
    folder = folder.resolve()
    pairs = _find_pairs(folder, folder)
    if not pairs:
        raise FrameError(
            f"{folder}: contains no pair of a frame and a clean plate", hint=f"Give {LAYOUTS}."
        )
    return pairs


def load_pair(name: str, src: Path, bgr: Path, size: Size) -> Frame:
    """Load a frame and its clean plate, resized with Pillow's BILINEAR where needed.

    Args:
        name: Name of the frame, used in messages and reports.
        src: Image file of the frame.
        bgr: Image file of the clean plate.
        size: Width and height in pixels.

    Returns:
        The frame without ground truth.

    Raises:
        FrameError: A file does not exist or is not a readable image, or the two differ in size.
    """
    frame, plate = read_rgb(src), read_rgb(bgr)
    if get_size(frame) != get_size(plate):
        raise FrameError(
            f"{bgr}: the clean plate has {_format_size(plate)} pixels, "
            f"the frame {src.name} has {_format_size(frame)}",
            hint="Take both with the same camera settings.",
        )
    return Frame(name, resize(frame, size), resize(plate, size))


def _find_pairs(folder: Path, root: Path) -> list[Pair]:
    files = list_images(folder)
    by_stem = {path.stem.lower(): path for path in files}
    shared_plate = by_stem.get("bgr")
    relative = folder.relative_to(root).as_posix()
    prefix = folder.name if relative == "." else relative
    pairs: list[Pair] = []
    for path in files:
        stem = path.stem.lower()
        if stem == "src":
            pairs.append((prefix, path, _check_plate(shared_plate, path)))
        elif stem.endswith("_src"):
            plate = by_stem.get(stem.removesuffix("_src") + "_bgr", shared_plate)
            pairs.append((f"{prefix}/{path.stem[:-4]}", path, _check_plate(plate, path)))
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    if "src" in folders and "bgr" in folders:
        plates = list_images(folders.pop("bgr"))
        plates_by_stem = {path.stem: path for path in plates}
        for path in list_images(folders.pop("src")):
            plate = plates_by_stem.get(path.stem, plates[0] if len(plates) == 1 else None)
            pairs.append((f"{prefix}/{path.stem}", path, _check_plate(plate, path)))
    for subfolder in folders.values():
        if not subfolder.is_symlink() and not subfolder.name.startswith("."):
            pairs += _find_pairs(subfolder, root)
    return pairs


def _check_plate(plate: Path | None, src: Path) -> Path:
    if plate is None:
        raise FrameError(f"{src}: no clean plate found for this frame", hint=f"Give {LAYOUTS}.")
    return plate


def _format_size(pixels: Pixels) -> str:
    return "{}x{}".format(*get_size(pixels))
