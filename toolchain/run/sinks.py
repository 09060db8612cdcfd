"""Choice of the sink for an output path, and images and folders of images as sinks."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from toolchain.api.matte import Matte
from toolchain.definitions.arrays import Pixels
from toolchain.errors import UsageError
from toolchain.run.backgrounds import BackgroundFill, composite
from toolchain.run.source import Source, SourceFrame
from toolchain.run.video_sink import VideoSink, choose_encoding
from toolchain.workspace.atomic import write_bytes

FORMAT_SUFFIX = re.compile(r"\.[a-z][a-z0-9]*", re.IGNORECASE)
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
ALPHA_VIDEOS = (".webm", ".mov", ".mkv")  # with alpha in VP9 or ProRes 4444
IMAGES = (".png", ".webp", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
ALPHA_IMAGES = (".png", ".webp", ".tif", ".tiff")
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},  # fast enough for every frame of a video
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True, "method": 0},
    "TIFF": {"compression": "tiff_lzw"},
}
HINT = (
    "Give a folder (PNG), an image (.png, .webp, .jpg) or a video (.mp4, .mkv: H.264; .webm: VP9; "
    ".mov: H.264, or ProRes 4444 with alpha)."
)


class Sink(Protocol):
    """Destination of the results."""

    def encode(self, frame: SourceFrame, matte: Matte, fill: BackgroundFill) -> Any:
        """Encode one result for `write`. Called in several threads, in any order.

        Args:
            frame: The frame.
            matte: Its matte.
            fill: Its background.

        Returns:
            The argument of `write`.
        """

    def write(self, encoded: Any) -> None:
        """Write the next result, in order.

        Args:
            encoded: What `encode` returned.

        Raises:
            WorkspaceError: The file cannot be written, for example because the disk is full.
        """

    def close(self, *, complete: bool) -> Path | None:
        """Finish the output.

        Args:
            complete: Whether all results were written.

        Returns:
            Path of the output, None if nothing was written.
        """


def is_folder(target: Path) -> bool:
    """Whether a path means a folder of images. A suffix such as ".2" is no file format."""
    return target.is_dir() or not FORMAT_SUFFIX.fullmatch(target.suffix)


def supports_alpha(target: Path) -> bool:
    """Whether an output can be transparent."""
    return is_folder(target) or target.suffix.lower() in (*ALPHA_VIDEOS, *ALPHA_IMAGES)


def check_output(target: Path, source: Source, *, transparent: bool, split: bool) -> None:
    """Check that an output supports what is requested.

    Args:
        target: Path of the output.
        source: Source of the frames.
        transparent: Whether the background is transparent.
        split: Whether foreground and alpha are written separately.

    Raises:
        UsageError: It does not.
    """
    suffix = target.suffix.lower()
    if not is_folder(target) and suffix not in (*VIDEOS, *IMAGES):
        raise UsageError(f"--output {target}: unknown format {suffix}", hint=HINT)
    if split and not is_folder(target):
        raise UsageError("--split writes two folders of images", hint="Give a folder as --output.")
    if split and not transparent:
        raise UsageError("--split and --background cannot be combined", hint="Omit one of them.")
    if transparent and not supports_alpha(target):
        raise UsageError(
            f"--output {target}: {suffix} does not support transparency",
            hint="Choose a --background, or write .webm, .mov, .png or a folder.",
        )
    if suffix in IMAGES and not target.is_dir() and source.kind != "image":
        raise UsageError(
            f"--output {target}: one image cannot hold the frames of {source.label}",
            hint="Give a folder.",
        )


def keeps_aspect(target: Path, *, transparent: bool) -> bool:
    """Whether an output can have pixels that are not square: some videos can."""
    suffix = target.suffix.lower()
    if is_folder(target) or suffix not in VIDEOS:
        return False
    return choose_encoding(suffix, transparent=transparent).keeps_aspect


def open_sink(
    target: Path,
    source: Source,
    *,
    transparent: bool,
    split: bool,
    note: Callable[[str], None],
) -> Sink:
    """Open the sink for an output path.

    Args:
        target: Path of the output, checked by `check_output`.
        source: Source of the frames.
        transparent: Whether the background is transparent.
        split: Whether to write foreground and alpha separately.
        note: Shows a line to the user.

    Returns:
        The sink.
    """
    if is_folder(target):
        return FolderSink(target, split=split)
    if target.suffix.lower() in IMAGES:
        return ImageSink(target)
    return VideoSink(target, source, transparent=transparent, note=note)


class ImageSink:
    """One image file."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._is_written = False

    def encode(self, frame: SourceFrame, matte: Matte, fill: BackgroundFill) -> bytes:
        """See `Sink.encode`."""
        return _encode_image(composite(matte, fill), self._target.suffix.lower())

    def write(self, encoded: bytes) -> None:
        """See `Sink.write`."""
        write_bytes(self._target, encoded)
        self._is_written = True

    def close(self, *, complete: bool) -> Path | None:
        """See `Sink.close`."""
        return self._target if self._is_written else None


class FolderSink:
    """PNG files with the names of the frames: RGBA, or RGB over a background.

    Args:
        target: The folder.
        split: Whether to write foreground and alpha separately, to `fgr/` and `pha/`.
    """

    def __init__(self, target: Path, *, split: bool) -> None:
        self._target, self._split = target, split
        self._is_written = False

    def encode(
        self, frame: SourceFrame, matte: Matte, fill: BackgroundFill
    ) -> list[tuple[Path, bytes]]:
        """See `Sink.encode`."""
        name = f"{frame.name}.png"
        if not self._split:
            return [(self._target / name, _encode_image(composite(matte, fill), ".png"))]
        pixels = matte.cutout()
        return [
            (self._target / "fgr" / name, _encode_image(pixels[..., :3], ".png")),
            (self._target / "pha" / name, _encode_image(pixels[..., 3], ".png")),
        ]

    def write(self, encoded: list[tuple[Path, bytes]]) -> None:
        """See `Sink.write`."""
        for path, data in encoded:
            write_bytes(path, data)
        self._is_written = True

    def close(self, *, complete: bool) -> Path | None:
        """See `Sink.close`."""
        return self._target if self._is_written else None


def _encode_image(pixels: Pixels, suffix: str) -> bytes:
    image_format = Image.registered_extensions()[suffix]
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(buffer, image_format, **SAVE_OPTIONS.get(image_format, {}))
    return buffer.getvalue()
