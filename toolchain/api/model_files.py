"""Search for the IR that a path means: the IR itself, a folder of a build, or a package."""

from __future__ import annotations

import atexit
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolchain.definitions.variants import BUILT, KNOWN, PREFERRED
from toolchain.errors import UsageError
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack
from toolchain.workspace.unpacking import staging_folder

RANKS = (*PREFERRED, *(name for name in KNOWN if name not in PREFERRED), "")
PATTERNS = ("*.xml", "*/*.xml", "*/*/*.xml", "public/*/*/*.xml")  # from an IR's folder to a build's
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".zst")
HINT = "Give a folder that `matting build` wrote, a package, or the .xml file of an IR."
_unpacked: dict[tuple[Path, int, int], Path] = {}


@dataclass(frozen=True)
class ModelFile:
    """An IR on disk.

    Attributes:
        xml: The .xml file; the .bin file is in the same folder.
        name: Name of the model.
        precision: Name of its folder if that is a known precision, for example "FP16", else "".
    """

    xml: Path
    name: str
    precision: str


def find_model(path: Path, precision: str | None = None) -> ModelFile:
    """Find the IR that a path means.

    Args:
        path: The .xml file of an IR, its folder, the folder of a model with one folder per
            precision, the output folder of a build, or a package.
        precision: Precision to choose. By default the first one present in the order of
            `PREFERRED`, then other known precisions, then IRs in folders with other names.

    Returns:
        The IR.

    Raises:
        UsageError: No IR was found, none has this precision, or there are several models.
        PackageFormatError: The package does not match its manifest.
    """
    found = find_models(path)
    names = sorted({model.name for model in found})
    if len(names) > 1:
        first = found[0].xml
        folder = first.parent.parent if found[0].precision else first
        raise UsageError(
            f"{path}: contains several models: {', '.join(names)}",
            hint=f"Give the folder of one of them, for example {folder}.",
        )
    if precision is None:
        return found[0]
    for model in found:
        if model.precision == precision:
            return model
    raise UsageError(
        f"{path}: {precision} not found; "
        f"it contains {', '.join(model.precision or str(model.xml) for model in found)}",
        hint=f"Build it: `matting build --precisions {precision}`."
        if precision in BUILT
        else "Choose one of these.",
    )


def find_models(path: Path) -> list[ModelFile]:
    """Find every IR in a path.

    Args:
        path: As for `find_model`.

    Returns:
        At least one IR, sorted by name, then in the order of choice among precisions.

    Raises:
        UsageError: No IR was found.
        PackageFormatError: The package does not match its manifest.
    """
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        return find_models(_unpack_once(path))
    if path.is_file() and path.suffix.lower() == ".xml":
        found = [path]
    elif path.is_dir():
        found = next(filter(None, (sorted(path.glob(pattern)) for pattern in PATTERNS)), [])
        found = [xml for xml in found if xml.with_suffix(".bin").is_file()]
    elif path.exists():
        raise UsageError(f"{path}: not a model", hint=HINT)
    else:
        raise UsageError(f"{path}: not found", hint=HINT)
    if not found:
        raise UsageError(f"{path}: contains no IR", hint=HINT)
    if not (weights := found[0].with_suffix(".bin")).is_file():
        raise UsageError(f"{weights}: not found; an IR is an .xml and a .bin file", hint=HINT)
    models = [
        ModelFile(xml, xml.stem, xml.parent.name if xml.parent.name in KNOWN else "")
        for xml in found
    ]
    return sorted(models, key=lambda model: (model.name, RANKS.index(model.precision)))


def _unpack_once(archive: Path) -> Path:
    """Verify and unpack a package into a folder that is deleted when the program ends."""
    status = archive.stat()
    key = (archive.resolve(), status.st_mtime_ns, status.st_size)
    if key not in _unpacked:
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        folder = stack.enter_context(staging_folder(Path(tempfile.gettempdir(), "matting-model")))
        unpack(UnpackRequest(archive, folder / "model"))
        _unpacked[key] = folder / "model"
    return _unpacked[key]
