"""`Source`: the interface of everything that frames are read from."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from toolchain.api.letterbox import Size
from toolchain.definitions.arrays import Pixels

SourceKind = Literal["image", "folder", "video", "camera"]


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One frame of a source.

    Attributes:
        name: File name without suffix, or the number of the frame.
        pixels: H x W x 3, uint8, RGB.
        time: Seconds from the start, None for images.
        aspect: Width of a pixel divided by its height.
    """

    name: str
    pixels: Pixels
    time: Fraction | None = None
    aspect: Fraction = Fraction(1)

    @property
    def size(self) -> Size:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


class Source(Protocol):
    """A sequence of frames."""

    @property
    def kind(self) -> SourceKind:
        """Kind of the source."""

    @property
    def label(self) -> str:
        """Name of the source in messages."""

    @property
    def notes(self) -> list[str]:
        """What the user should know about the source, known when it was opened."""

    @property
    def count(self) -> int | None:
        """Approximate number of frames, None if unknown."""

    @property
    def rate(self) -> Fraction | None:
        """Frames per second, None for images."""

    @property
    def audio(self) -> Path | None:
        """File with the audio of the frames, None if there is none."""

    def frames(self, *, skip_bad: bool = False) -> Generator[SourceFrame, None, None]:
        """Read all frames from the start.

        Args:
            skip_bad: Whether to skip frames that cannot be read.

        Yields:
            The frames in order.

        Raises:
            FrameError: A frame cannot be read, and `skip_bad` is off.
        """
