"""What every dataset for the evaluation gives: frames with truth, read when they are needed."""

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

Size = tuple[int, int]  # width, height
Kind = Literal["published", "composited", "generated"]


@dataclass(frozen=True)
class Sample:
    """A frame prepared for a model, and the truth at its own size.

    `src`, `bgr`: h x w x 3 uint8 RGB at the model's size.  `alpha`: H x W, `foreground`: H x W x 3,
    RGB; both uint8 0..255 as files hold them, or floats 0..1.
    """

    src: Pixels
    bgr: Pixels
    alpha: npt.NDArray[Any]
    foreground: npt.NDArray[Any]


@dataclass(frozen=True)
class Raw:
    """A frame's files as read.

    `key`: a digest of all that makes the frame, but for the model's size.  `sample`: decodes them
    for a model of a size; raises FrameError for a file that is damaged, mis-sized, or not what it
    should be.
    """

    key: str
    sample: Callable[[Size], Sample]


class Item(Protocol):
    """One frame of a dataset: only names, so that it can be sent to another machine."""

    @property
    def clip(self) -> str:
        """The clip that it belongs to."""

    @property
    def name(self) -> str:
        """Its name, unique in the dataset."""

    def inspect(self) -> None:
        """Raise FrameError for what can be seen without decoding: see `Raw.sample`."""

    def read(self) -> Raw:
        """Read its files.  Raises FrameError if one can't be read."""


@dataclass(frozen=True)
class Fault:
    """A frame that can't be used.  `file`: relative to the dataset; `reason`: for people."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Dataset:
    """Frames in order.  `seed`: what was drawn was drawn from it; None where nothing was.

    `root`: the folder, None for generated frames.  `faults`: frames that are plainly not whole.
    """

    kind: Kind
    name: str
    items: tuple[Item, ...]
    root: Path | None = None
    seed: int | None = None
    faults: tuple[Fault, ...] = ()


def fault_of(error: FrameError, name: str, root: Path | None) -> Fault:
    """The fault that `error` tells of; `name`: of the frame, where the error names no file."""
    path = error.path
    if path is None:
        return Fault(name, error.message)
    file = path.as_posix()
    if root is not None and path.is_relative_to(root):
        file = path.relative_to(root).as_posix()
    return Fault(file, error.message.removeprefix(f"{path}: "))


def key_of(*parts: bytes | str) -> str:
    """A digest of `parts`, each by its own digest."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return hasher.hexdigest()


def contents(path: Path) -> bytes:
    """The bytes of a file.  Raises FrameError if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: can't be read: {error.strerror or error}", path=path) from error


def same_size(sizes: dict[Path, Size]) -> None:
    """Raise FrameError for the first file that is not of the first one's size."""
    (first, expected), *others = sizes.items()
    for path, (width, height) in others:
        if (width, height) != expected:
            raise FrameError(
                f"{path}: has {width}x{height} pixels, {first.name} beside it has "
                f"{expected[0]}x{expected[1]}",
                path=path,
            )


def channel(picture: npt.NDArray[np.uint8], index: int) -> npt.NDArray[np.uint8]:
    """One channel of an H x W x C picture, in memory of its own."""
    return np.ascontiguousarray(picture[..., index])
