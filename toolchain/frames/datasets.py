"""A dataset by what lies in a folder, or the generated one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import FrameError
from toolchain.frames.composited import FORMS, composited
from toolchain.frames.dataset import Dataset, Raw, Sample, Size, key_of
from toolchain.frames.generated import composite
from toolchain.frames.published import is_published, published


@dataclass(frozen=True)
class GeneratedItem:
    """The composite of a seed, made at the model's own size."""

    seed: int

    @property
    def clip(self) -> str:
        """All generated frames are one."""
        return "generated"

    @property
    def name(self) -> str:
        """That of the composite."""
        return f"composite-{self.seed}"

    def inspect(self) -> None:
        """There is no file that could be bad."""

    def read(self) -> Raw:
        """See `Item.read`."""

        def sample(size: Size) -> Sample:
            frame = composite(self.seed, *size)
            assert frame.alpha is not None
            assert frame.foreground is not None
            return Sample(frame.src, frame.bgr, frame.alpha, frame.foreground)

        return Raw(key_of("generated", str(self.seed)), sample)


def generated(frames: int, seed: int) -> Dataset:
    """The composites `seed` to `seed` + `frames` - 1."""
    items = tuple(GeneratedItem(seed + index) for index in range(frames))
    return Dataset("generated", "generated", items, None, seed)


def open_dataset(root: Path, backgrounds: Path | None, seed: int) -> Dataset:
    """The dataset in `root`, of whichever form it is (see FORMS).

    `backgrounds`, `seed`: see `composited`; not for the published layout, which has its own.
    Raises FrameError for a folder that is none, and FrameError if it holds no frames.
    """
    for folder in filter(None, (root, backgrounds)):
        if not folder.is_dir():
            raise FrameError(f"{folder}: is not a folder", hint=f"Give {FORMS}.")
    root = root.resolve()
    try:
        if not is_published(root):
            return composited(root, backgrounds and backgrounds.resolve(), seed)
        if backgrounds is not None:
            raise FrameError(
                f"{root}: has frames (com/) and plates (bgr/) of its own",
                hint="Leave --backgrounds out.",
            )
        found = published(root)
    except OSError as error:
        raise FrameError(f"{error.filename}: can't be read: {error.strerror}") from error
    if not found.items and not found.faults:
        raise FrameError(f"{root}: com/, bgr/ and fgr/ are empty", hint=f"Give {FORMS}.")
    return found
