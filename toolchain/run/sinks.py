"""Where results go: one picture, a folder of pictures, a video, behind one `Sink`."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.errors import UsageError
from toolchain.run.backgrounds import Behind
from toolchain.run.sources import Shot, Source
from toolchain.workspace.atomic import write_bytes

FORMAT = re.compile(r"\.[a-z][a-z0-9]*", re.IGNORECASE)
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
CLEAR_VIDEOS = (".webm", ".mov", ".mkv")  # which hold an alpha channel in VP9 or ProRes
PICTURES = (".png", ".webp", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
CLEAR_PICTURES = (".png", ".webp", ".tif", ".tiff")
SAVING: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},  # a video's worth of them is to be written
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True, "method": 0},
    "TIFF": {"compression": "tiff_lzw"},
}
HOW = (
    "Give a folder (PNG), a picture (.png, .webp, .jpg) or a video (.mp4, .mkv: H.264; .webm: VP9; "
    ".mov: H.264, or ProRes 4444 with alpha)."
)


class Sink(Protocol):
    """Takes results in order."""

    def made(self, shot: Shot, matte: Matte, behind: Behind) -> Any:
        """A result as it will be written; called in threads, in any order."""

    def add(self, made: Any) -> None:
        """Write the next one.  Raises WorkspaceError for a full disk and the like."""

    def close(self, *, complete: bool) -> Path | None:
        """End it; where what was written lies, None where nothing was.

        `complete`: whether all was written that should be.
        """


def holds_alpha(target: Path) -> bool:
    """Whether the output that `target` names can be transparent."""
    suffix = target.suffix.lower()
    return is_folder(target) or suffix in CLEAR_VIDEOS or suffix in CLEAR_PICTURES


def is_folder(target: Path) -> bool:
    """Whether `target` names a folder of pictures; what follows a dot may be a version's number."""
    return target.is_dir() or not FORMAT.fullmatch(target.suffix)


def check(target: Path, source: Source, *, transparent: bool, split: bool) -> None:
    """Raise UsageError for an output that can't hold what is asked for."""
    suffix = target.suffix.lower()
    if not is_folder(target) and suffix not in (*VIDEOS, *PICTURES):
        raise UsageError(f"--output {target}: no format is known for {suffix}", hint=HOW)
    if split and not is_folder(target):
        raise UsageError("--split writes two folders of pictures", hint="Name a folder.")
    if split and not transparent:
        raise UsageError("--split writes foreground and alpha; nothing can be behind them")
    if transparent and not holds_alpha(target):
        raise UsageError(
            f"--output {target}: {suffix} can't be transparent",
            hint="Choose a --background, or .webm, .mov, .png or a folder.",
        )
    if suffix in PICTURES and not target.is_dir() and source.kind != "picture":
        raise UsageError(
            f"--output {target}: one picture can't hold {source.label}", hint="Name a folder."
        )


def open_sink(target: Path, source: Source, *, transparent: bool, split: bool) -> Sink:
    """The sink for `target`, which `check` found fit."""
    if is_folder(target):
        return Folder(target, split=split)
    if target.suffix.lower() in PICTURES:
        return Picture(target)
    from toolchain.run.video_sink import EncodedVideo

    return EncodedVideo(target, source, transparent=transparent)


class Picture:
    """One picture file."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._written = False

    def made(self, shot: Shot, matte: Matte, behind: Behind) -> bytes:
        """See `Sink.made`."""
        return encoded(shown(matte, behind), self._target.suffix.lower())

    def add(self, made: bytes) -> None:
        """See `Sink.add`."""
        write_bytes(self._target, made)
        self._written = True

    def close(self, *, complete: bool) -> Path | None:
        """See `Sink.close`."""
        return self._target if self._written else None


class Folder:
    """PNG files by the frames' names: RGBA, or RGB before a background.

    `split`: foreground and alpha apart, in `fgr/` and `pha/`.
    """

    def __init__(self, target: Path, *, split: bool) -> None:
        self._target, self._split = target, split
        self._written = False

    def made(self, shot: Shot, matte: Matte, behind: Behind) -> list[tuple[Path, bytes]]:
        """See `Sink.made`."""
        name = f"{shot.name}.png"
        if not self._split:
            return [(self._target / name, encoded(shown(matte, behind), ".png"))]
        pixels = matte.cutout()
        return [
            (self._target / "fgr" / name, encoded(pixels[..., :3], ".png")),
            (self._target / "pha" / name, encoded(pixels[..., 3], ".png")),
        ]

    def add(self, made: list[tuple[Path, bytes]]) -> None:
        """See `Sink.add`."""
        for path, data in made:
            write_bytes(path, data)
        self._written = True

    def close(self, *, complete: bool) -> Path | None:
        """See `Sink.close`."""
        return self._target if self._written else None


def shown(matte: Matte, behind: Behind) -> Pixels:
    """RGBA before nothing, else RGB before what is behind."""
    return matte.cutout() if behind is None else matte.over(behind)


def encoded(pixels: Pixels, suffix: str) -> bytes:
    """A picture file's bytes."""
    kind = Image.registered_extensions()[suffix]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **SAVING.get(kind, {}))
    return buffer.getvalue()
