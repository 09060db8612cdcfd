"""Where frames come from: a picture, a folder, a video, a camera, behind one `Source`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from toolchain.api.letterbox import Size
from toolchain.definitions.arrays import Pixels
from toolchain.errors import FrameError, UsageError
from toolchain.frames.pictures import SUFFIXES, picture_files
from toolchain.frames.pixels import rgb

Kind = Literal["picture", "folder", "video", "camera"]
HOW = "Give a picture, a folder of pictures, a video file or a camera's number."


@dataclass(frozen=True, eq=False)
class Shot:
    """`pixels`: H x W x 3 uint8 RGB.  `time`: seconds from the start, None for pictures."""

    name: str
    pixels: Pixels
    time: Fraction | None = None

    @property
    def size(self) -> Size:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


class Source(Protocol):
    """Frames, one after another."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    @property
    def label(self) -> str:
        """What to call it in a sentence."""

    @property
    def count(self) -> int | None:
        """How many frames there are, about; None where that is not known."""

    @property
    def rate(self) -> Fraction | None:
        """Frames a second; None for pictures."""

    @property
    def sound(self) -> Path | None:
        """The file that has the sound that belongs to them."""

    def shots(self, *, skip_bad: bool = False) -> Generator[Shot, None, None]:
        """All frames, from the start.

        Raises FrameError for one that can't be read, unless bad ones are to be left out.
        """


class Pictures:
    """Picture files in their order."""

    rate = None
    sound = None

    def __init__(self, label: str, kind: Kind, files: list[Path]) -> None:
        self.label, self.kind, self._files = label, kind, files

    @property
    def count(self) -> int:
        """See `Source.count`."""
        return len(self._files)

    def shots(self, *, skip_bad: bool = False) -> Generator[Shot, None, None]:
        """See `Source.shots`."""
        for path in self._files:
            try:
                picture = rgb(path)
            except FrameError:
                if skip_bad:
                    continue
                raise
            yield Shot(path.stem, picture)


def open_source(given: str, option: str) -> Source:
    """The source that `given` names.  `option`: the argument it came by, for sentences.

    Raises UsageError where there is none, FrameError for a folder without pictures or a video
    that can't be opened.
    """
    path = Path(given)
    if given.isdecimal() and not path.exists():
        from toolchain.run.camera import Camera

        return Camera(int(given))
    if path.is_dir():
        files = picture_files(path)
        if not files:
            raise FrameError(f"{path}: holds no picture", hint=HOW)
        names = [file.stem for file in files]
        if twice := {name for name in names if names.count(name) > 1}:
            raise FrameError(f"{path}: several pictures are called {', '.join(sorted(twice))}")
        return Pictures(str(path), "folder", files)
    if not path.is_file():
        raise UsageError(f"{option} {given}: is not there", hint=HOW)
    if path.suffix.lower() in SUFFIXES:
        return Pictures(str(path), "picture", [path])
    from toolchain.run.video_source import Video

    return Video(path)
