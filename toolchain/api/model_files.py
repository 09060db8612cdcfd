"""Which IR is meant when somebody names a model: an IR, a folder of a build, or a package."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import UsageError
from toolchain.stages.unpack import UnpackRequest, unpack

PREFERRED = ("FP16", "FP32", "FP16-INT8")  # the first that is there, unless one is asked for
PLACES = ("*.xml", "*/*.xml", "*/*/*.xml", "public/*/*/*.xml")  # from an IR's folder to a build's
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".zst")
HOW = "Give a folder that `matting build` made, a package, or the .xml of an IR."
_unpacked: dict[tuple[Path, int, int], Path] = {}


@dataclass(frozen=True)
class Located:
    """`name`: the model's, `precision`: FP32, FP16 or FP16-INT8 as its folder says, else empty."""

    xml: Path
    name: str
    precision: str


def locate(model: Path, precision: str | None = None) -> Located:
    """The IR that `model` stands for; of several precisions FP16, then FP32, unless one is asked.

    `model`: the .xml of an IR; the folder of one; of one model with folders FP16 and the like; of
    a build (`build`); or an archive that `matting package` made.  Raises UsageError where there is
    none, or one of several would be a guess.
    """
    found = everything(model)
    names = sorted({item.name for item in found})
    if len(names) > 1:
        raise UsageError(
            f"{model}: holds several models: {', '.join(names)}",
            hint=f"Name the folder of one, such as {_folder(found[0])}.",
        )
    if precision is not None:
        found = [item for item in found if item.precision == precision] or _lacks(found, precision)
    return min(found, key=_rank)


def everything(model: Path) -> list[Located]:
    """Every IR that `model` holds, by name and precision; never empty.  Raises UsageError."""
    if model.is_file() and model.suffix.lower() in ARCHIVES:
        return _packaged(model)
    if model.is_file() and model.suffix.lower() == ".xml":
        found = [model]
    elif model.is_dir():
        found = next(filter(None, (sorted(model.glob(place)) for place in PLACES)), [])
        found = [xml for xml in found if xml.with_suffix(".bin").is_file()]
    elif model.exists():
        raise UsageError(f"{model}: is no model", hint=HOW)
    else:
        raise UsageError(f"{model}: is not there", hint=HOW)
    if not found:
        raise UsageError(f"{model}: holds no IR", hint=HOW)
    if not (bin_file := found[0].with_suffix(".bin")).is_file():
        raise UsageError(f"{bin_file}: is not there; an IR is an .xml and a .bin", hint=HOW)
    items = [
        Located(xml, xml.stem, xml.parent.name if xml.parent.name in PREFERRED else "")
        for xml in found
    ]
    return sorted(items, key=lambda item: (item.name, _rank(item)))


def _packaged(archive: Path) -> list[Located]:
    """What a package holds, every file held against its manifest; unpacked until the program ends.

    Raises BundleError for one that is not what its manifest says.
    """
    found = archive.stat()
    known = (archive.resolve(), found.st_mtime_ns, found.st_size)
    if known not in _unpacked:
        folder = Path(tempfile.mkdtemp(prefix="matting-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        unpack(UnpackRequest(archive, folder / "model"))
        _unpacked[known] = folder / "model"
    return everything(_unpacked[known])


def _rank(item: Located) -> int:
    return PREFERRED.index(item.precision) if item.precision else -1


def _folder(item: Located) -> Path:
    return item.xml.parent.parent if item.precision else item.xml


def _lacks(found: Iterable[Located], precision: str) -> list[Located]:
    there = ", ".join(item.precision or str(item.xml) for item in found)
    raise UsageError(
        f"no {precision} among {there}", hint=f"Build it: `matting build --precisions {precision}`."
    )
