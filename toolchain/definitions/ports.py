"""Inputs, outputs and inner tensors of the network, and the rt_info section of its IRs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An input or output of the original: float32, 1 x `channels` x H x W.

    Attributes:
        name: Name of the tensor.
        channels: Number of channels.
        colours: Order of the channels, "" for a single channel.
        range: Range of the values.
        meaning: Its content.
    """

    name: str
    channels: int
    colours: str
    range: str
    meaning: str


INPUT_PORTS = (
    Port("src", 3, "RGB", "0..1", "the frame"),
    Port("bgr", 3, "RGB", "0..1", "the clean plate: the same scene without the subject"),
)
OUTPUT_PORTS = (
    Port("pha", 1, "", "0..1", "the alpha matte"),
    Port("fgr", 3, "RGB", "0..1", "the colours of the foreground"),
)
INPUTS = tuple(port.name for port in INPUT_PORTS)
OUTPUTS = tuple(port.name for port in OUTPUT_PORTS)
FRAME, PLATE = INPUTS
ALPHA, FOREGROUND = OUTPUTS
# Tensors between the stages of the network, by the names of `network.matting.Outputs`.
SELECTION = "ref_sm"
PROBES = ("src_bgr_sm", "pha_sm", "res_sm", "err_sm", "hid_sm", SELECTION, "refined")
CELL = 4  # pixels along one side of a refined patch: one cell of the quarter-size maps
RT_INFO = "matting"  # section of an IR's rt_info for the toolchain's facts
