"""Check, before anything is opened, that the output replaces none of the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from toolchain.errors import UsageError
from toolchain.run.sinks import is_folder
from toolchain.run.video_sink import get_part

OUTPUT_HINT = "Choose another --output."


def check_inputs_are_kept(target: Path, inputs: Mapping[str, str | None], *, split: bool) -> None:
    """Check that no input would be replaced by the output.

    Files are compared as the file system does, so that links and names that differ in case are
    recognized.

    Args:
        target: The output.
        inputs: Option and value of each input; values that are not paths are ignored.
        split: Whether foreground and alpha are written to subfolders of `target`.

    Raises:
        UsageError: An input would be replaced.
    """
    for option, text in inputs.items():
        path = Path(text or "")
        if not text or not _exists(path):
            continue
        if is_folder(target):
            _check_folder(target, option, path, split=split)
        elif is_same(path, target):
            raise _InputReplacedError(target, f"is the file of {option}", option)
        elif is_same(path, get_part(target)):
            raise _InputReplacedError(
                target, f"{path} ({option}) would be overwritten while writing", option
            )
        elif path.is_dir() and is_same(path, target.parent) and _has_entry(path, target):
            raise _InputReplacedError(target, f"is one of the files of {option}", option)


def check_not_existing(target: Path) -> None:
    """Check that an output does not exist yet, for `--no-overwrite`.

    Raises:
        UsageError: The file exists, or the folder is not empty.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if _exists(target) or target.is_symlink():
        raise UsageError(
            f"--output {target}: already exists",
            hint="Choose another --output, or omit --no-overwrite.",
        )


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are the same existing file or folder."""
    try:
        return one.samefile(other)
    except OSError:
        return False


class _InputReplacedError(UsageError):
    """The output would replace an input."""

    def __init__(self, target: Path, found: str, option: str) -> None:
        super().__init__(
            f"--output {target}: {found}; an output never replaces an input ({option})",
            kept="Nothing was changed.",
            hint=OUTPUT_HINT,
        )


def _check_folder(target: Path, option: str, path: Path, *, split: bool) -> None:
    for folder in _list_folders(target, split=split):
        if is_same(path, folder):
            raise _InputReplacedError(target, f"{folder} is the folder of {option}", option)
        # Frames are written as NAME.png, with the names of the frames or numbers.
        if path.is_file() and path.suffix.lower() == ".png" and is_same(path.parent, folder):
            raise _InputReplacedError(target, f"contains {path.name} ({option})", option)


def _list_folders(target: Path, *, split: bool) -> Iterator[Path]:
    if split:
        yield from (target / "fgr", target / "pha")
    else:
        yield target


def _has_entry(folder: Path, target: Path) -> bool:
    return any(is_same(entry, target) for entry in folder.iterdir())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a null byte
        return False
