"""What goes in and out of the network: the one place that says what the values mean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An input or output of the original: float32, 1 x `channels` x H x W.

    `colours`: the order of the channels, "" where there is one.  `range`: of the values.
    """

    name: str
    channels: int
    colours: str
    range: str
    meaning: str


INPUTS = (
    Port("src", 3, "RGB", "0..1", "the frame"),
    Port("bgr", 3, "RGB", "0..1", "the clean plate: the same scene with nobody in it"),
)
OUTPUTS = (
    Port("pha", 1, "", "0..1", "the alpha matte"),
    Port("fgr", 3, "RGB", "0..1", "the foreground's colours"),
)
