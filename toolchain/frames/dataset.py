"""Records of a dataset for evaluation: frames with ground truth, read when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError
from toolchain.frames.frame import Size

Kind = Literal["published", "composited", "generated"]


@dataclass(frozen=True)
class Sample:
    """A frame resized to a model's input size, and its ground truth at the original size.

    Attributes:
        src: The frame, h x w x 3, uint8, RGB, at the model's size.
        bgr: The clean plate, h x w x 3, uint8, RGB, at the model's size.
        alpha: True alpha, H x W; uint8 0..255 as in a file, or float 0..1.
        foreground: True foreground, H x W x 3, RGB; uint8 0..255 as in a file, or float 0..1.
    """

    src: Pixels
    bgr: Pixels
    alpha: npt.NDArray[Any]
    foreground: npt.NDArray[Any]


@dataclass(frozen=True)
class RawFrame:
    """The content of a frame's files, not decoded yet.

    Attributes:
        key: Digest of everything that determines the sample, except the model's input size.
        decode: Decodes the files and resizes the frame to the model's input size.  Raises
            FrameError if a file is damaged, of the wrong size, or lacks an alpha channel.
    """

    key: str
    decode: Callable[[Size], Sample]


class Item(Protocol):
    """One frame of a dataset.  It holds names only, so that it can be sent to another machine."""

    @property
    def clip(self) -> str:
        """Name of the clip that the frame belongs to."""

    @property
    def name(self) -> str:
        """Name of the frame, unique in the dataset."""

    def inspect(self) -> None:
        """Check the frame's files as far as that is possible without decoding them.

        Raises:
            FrameError: A file is missing, truncated, of the wrong size, or lacks an alpha channel.
        """

    def read(self) -> RawFrame:
        """Read the frame's files.

        Raises:
            FrameError: A file cannot be read.
        """


@dataclass(frozen=True)
class Fault:
    """Why a frame cannot be used.

    Attributes:
        file: The file at fault, relative to the dataset's folder; else the frame's name.
        reason: Reason for people.
    """

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"

    @classmethod
    def from_error(cls, error: FrameError, name: str, root: Path | None) -> Fault:
        """Convert an error.

        Args:
            error: The error.
            name: Name of the frame, used if the error names no file.
            root: Folder of the dataset.
        """
        path = error.path
        if path is None:
            return cls(name, error.message)
        is_inside = root is not None and path.is_relative_to(root)
        file = path.relative_to(root) if root is not None and is_inside else path
        return cls(file.as_posix(), error.message.removeprefix(f"{path}: "))


@dataclass(frozen=True)
class Dataset:
    """The frames of a dataset.

    Attributes:
        kind: Where the frames come from: a folder in the published layout, foregrounds over
            backgrounds, or generated composites.
        name: Name for people.
        items: The frames in order.
        root: Folder of the dataset; None for generated frames.
        seed: Seed of whatever was drawn at random; None if nothing was.
        faults: Frames that lack a file.
    """

    kind: Kind
    name: str
    items: tuple[Item, ...]
    root: Path | None = None
    seed: int | None = None
    faults: tuple[Fault, ...] = ()


def digest(*parts: bytes | str) -> str:
    """Return a SHA-256 digest of the digests of `parts`."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return hasher.hexdigest()


def read_file(path: Path) -> bytes:
    """Read a file.

    Raises:
        FrameError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise FrameError(f"{path}: cannot be read: {reason}", path=path) from error


def check_same_size(sizes: dict[Path, Size]) -> None:
    """Check that all images have the size of the first one.

    Args:
        sizes: Width and height by image file.

    Raises:
        FrameError: An image has another size.
    """
    (first, expected), *others = sizes.items()
    for path, size in others:
        if size != expected:
            raise FrameError(
                f"{path}: has {size[0]}x{size[1]} pixels, but {first.name} has "
                f"{expected[0]}x{expected[1]}",
                path=path,
            )


def copy_channel(image: npt.NDArray[np.uint8], index: int) -> npt.NDArray[np.uint8]:
    """Return a contiguous copy of one channel of an H x W x C image."""
    return np.ascontiguousarray(image[..., index])


def get_clip(name: str, root: Path) -> str:
    """Return the folder part of a frame's name; the dataset's name if it has no folder part."""
    folder, _, _ = name.rpartition("/")
    return folder or root.name


def missing_alpha(path: Path) -> FrameError:
    """Return the error for an image without an alpha channel."""
    return FrameError(f"{path}: has no alpha channel, expected RGBA", path=path)
