"""A dataset of generated composites."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.frames.dataset import Dataset, RawFrame, Sample, digest
from toolchain.frames.frame import Size
from toolchain.frames.generated import composite


@dataclass(frozen=True)
class GeneratedItem:
    """A composite, generated at the model's input size.

    Attributes:
        seed: Number of the composite.
    """

    seed: int

    @property
    def clip(self) -> str:
        """Name of the clip, the same for all generated frames."""
        return "generated"

    @property
    def name(self) -> str:
        """Name of the composite."""
        return f"composite-{self.seed}"

    def inspect(self) -> None:
        """Do nothing; there are no files to check."""

    def read(self) -> RawFrame:
        """See `Item.read`."""

        def decode(size: Size) -> Sample:
            frame = composite(self.seed, *size)
            assert frame.alpha is not None
            assert frame.foreground is not None
            return Sample(frame.src, frame.bgr, frame.alpha, frame.foreground)

        return RawFrame(digest("generated", str(self.seed)), decode)


def make_generated(frames: int, seed: int) -> Dataset:
    """Return the dataset of the composites with the numbers `seed` to `seed` + `frames` - 1."""
    items = tuple(GeneratedItem(seed + index) for index in range(frames))
    return Dataset("generated", "generated", items, None, seed)
