"""Choice of the source for a path or a camera number, and images as a source."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from pathlib import Path

from toolchain.errors import FrameError, UsageError
from toolchain.frames.image_files import is_image, list_images
from toolchain.frames.pixels import read_rgb
from toolchain.run.camera import CameraSource
from toolchain.run.source import Source, SourceFrame, SourceKind
from toolchain.run.video_source import VideoSource

SYSTEM_FILES = ("thumbs.db", "desktop.ini")
MAX_LISTED = 10
HINT = "Give an image, a folder of images, a video file or the number of a camera."


class ImageSource:
    """Image files in their order."""

    rate = None
    audio = None

    def __init__(
        self, label: str, kind: SourceKind, files: list[Path], notes: Sequence[str] = ()
    ) -> None:
        self.label, self.kind, self._files = label, kind, files
        self.notes = list(notes)

    @property
    def count(self) -> int:
        """See `Source.count`."""
        return len(self._files)

    def frames(self, *, skip_bad: bool = False) -> Generator[SourceFrame, None, None]:
        """See `Source.frames`."""
        for path in self._files:
            try:
                pixels = read_rgb(path)
            except FrameError:
                if skip_bad:
                    continue
                raise
            yield SourceFrame(path.stem, pixels)


def open_source(text: str, option: str, *, square: bool = True) -> Source:
    """Open the source that an argument names.

    Args:
        text: A path, or the number of a camera.
        option: Name of the argument, used in messages.
        square: Whether to scale the frames of a video to square pixels.

    Returns:
        The source.

    Raises:
        UsageError: The path does not exist.
        FrameError: The folder contains no images, or the video cannot be opened.
    """
    path = Path(text)
    if text.isdecimal() and not path.exists():
        return CameraSource(int(text))
    if path.is_dir():
        files = sorted(list_images(path), key=get_natural_key)
        if not files:
            raise FrameError(f"{path}: contains no image", hint=HINT)
        names = [file.stem for file in files]
        if duplicates := {name for name in names if names.count(name) > 1}:
            raise FrameError(f"{path}: several images are named {', '.join(sorted(duplicates))}")
        return ImageSource(str(path), "folder", files, _list_ignored(path, files))
    if not path.is_file():
        raise UsageError(f"{option} {text}: not found", hint=HINT)
    if is_image(path):
        return ImageSource(str(path), "image", [path])
    return VideoSource(path, square=square)


def get_natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts frame2 before frame10, and without numbers by name."""
    parts = re.split(r"([0-9]+)", path.stem)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _list_ignored(folder: Path, files: list[Path]) -> list[str]:
    """Describe the files of a folder that are no images by their suffix."""
    ignored = sorted(
        path.name
        for path in {*folder.iterdir()}.difference(files)
        if path.is_file()
        and not path.name.startswith(".")
        and path.name.lower() not in SYSTEM_FILES
    )
    if not ignored:
        return []
    more = f" and {len(ignored) - MAX_LISTED} more" if len(ignored) > MAX_LISTED else ""
    names = ", ".join(ignored[:MAX_LISTED])
    return [f"{folder}: {len(ignored)} files are not images and were ignored: {names}{more}."]
