"""Decoded video frames as upright 8-bit RGB of BT.709, also from HDR and wide gamuts.

HDR is mapped as in ITU-R BT.2408: reference white (203 cd/m2, 75 % of HLG) becomes white; colours
up to 80 % of it are unchanged, and highlights are compressed. HLG is mapped as scene light.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.definitions.arrays import Doubles, Pixels
from toolchain.run.extras import load_pyav

UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
HD_LINES = 720  # from here on players assume BT.709 if the file does not name a colour space
PQ, HLG = 16, 18  # AVCOL_TRC_SMPTE2084 and AVCOL_TRC_ARIB_STD_B67
HDR_NAMES = {PQ: "HDR (PQ)", HLG: "HDR (HLG)"}
BT2020, P3 = 9, 12  # AVCOL_PRI_BT2020 and AVCOL_PRI_SMPTE432
TO_BT709 = {  # linear RGB
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
NAMES = {BT2020: "BT.2020", P3: "Display P3"}
REFERENCE_WHITE = 203.0  # cd/m2
HLG_WHITE = 0.75  # signal of reference white
KNEE = 0.8  # of reference white
SDR_GAMMA = 2.4
TABLE_SIZE = 33  # samples per axis of the 3D table
TURNED = "DISPLAYMATRIX"


class VideoConverter:
    """Converts the frames of one video to H x W x 3, uint8, RGB.

    Args:
        aspect: Width of a stored pixel divided by its height.
        square: Whether to scale frames to square pixels.
    """

    def __init__(self, aspect: Fraction = Fraction(1), *, square: bool = False) -> None:
        self._aspect, self._square = aspect, square
        self._mapper: _ColourMapper | None = None
        self._key: object = None

    def convert(self, frame: Any) -> tuple[Pixels, Fraction]:
        """Convert a frame.

        Args:
            frame: A PyAV frame.

        Returns:
            H x W x 3, uint8, RGB, upright; and the aspect ratio of its pixels.
        """
        aspect = self._aspect
        options: dict[str, Any] = {}
        if frame.colorspace == UNSPECIFIED:
            options["src_colorspace"] = "ITU709" if frame.height >= HD_LINES else "ITU601"
        if self._square and aspect != 1:
            options["width"] = max(1, round(frame.width * aspect))
            options["height"], aspect = frame.height, Fraction(1)
        kind = describe_colour(frame.color_trc, frame.color_primaries)
        if kind:
            deep = frame.reformat(format="gbrp12le", **options)
            pixels = self._map(deep, frame.color_trc, frame.color_primaries)
        else:
            pixels = frame.reformat(format="rgb24", **options).to_ndarray()
        upright, is_transposed = turn_upright(pixels, frame)
        return upright, 1 / aspect if is_transposed else aspect

    def _map(self, frame: Any, transfer: int, primaries: int) -> Pixels:
        key = frame.width, frame.height, transfer, primaries
        if self._mapper is None or self._key != key:
            self._mapper, self._key = _ColourMapper(frame, transfer, primaries), key
        return self._mapper.apply(frame)


def describe_colour(transfer: int, primaries: int) -> str:
    """Name a colour space that is not that of usual videos; "" if it is."""
    return HDR_NAMES.get(transfer) or NAMES.get(primaries, "")


def get_aspect(ratio: Fraction | None) -> Fraction:
    """Return the aspect ratio of pixels; 1 if a file does not state a valid one."""
    return ratio if ratio is not None and ratio > 0 else Fraction(1)


def turn_upright(pixels: Pixels, frame: Any) -> tuple[Pixels, bool]:
    """Rotate and mirror an image by the display matrix of its frame.

    The matrix (ISO/IEC 14496-12) maps x, y to a x + c y, b x + d y.

    Args:
        pixels: H x W x 3.
        frame: The PyAV frame.

    Returns:
        The image, and whether width and height were exchanged.
    """
    data = next((one for one in frame.side_data if one.type.name == TURNED), None)
    if data is None:
        return pixels, False
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).astype(np.int64).tolist()
    is_transposed = abs(b) > abs(a)
    if is_transposed:
        pixels = pixels.swapaxes(0, 1)
        a, d = c, b
    pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(pixels), is_transposed


def build_table(transfer: int, primaries: int, size: int = TABLE_SIZE) -> Doubles:
    """Build the 3D table of a colour space.

    Args:
        transfer: FFmpeg's number of the transfer characteristics.
        primaries: FFmpeg's number of the primaries.
        size: Samples per axis.

    Returns:
        size x size x size x 3: R, G, B in 0..1 for blue, green and red of the source.
    """
    steps = np.linspace(0, 1, size)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    linear = _linearize(np.stack([red, green, blue], -1), transfer)
    is_hdr = transfer in HDR_NAMES
    matrix = TO_BT709.get(primaries) or (TO_BT709[BT2020] if is_hdr else np.eye(3))
    linear = np.maximum(linear @ np.array(matrix).T, 0)
    if not is_hdr:
        return np.asarray(np.minimum(linear, 1) ** (1 / SDR_GAMMA))
    peak = 1000.0 / REFERENCE_WHITE if transfer == PQ else 1 / _linearize_hlg(HLG_WHITE)
    linear = np.minimum(_compress_highlights(linear, float(peak)), 1)
    return np.where(
        linear <= 0.0031308,  # noqa: PLR2004 - sRGB
        12.92 * linear,
        1.055 * linear ** (1 / 2.4) - 0.055,
    )


class _ColourMapper:
    """FFmpeg's filter lut3d with the table of a colour space."""

    def __init__(self, frame: Any, transfer: int, primaries: int) -> None:
        self._graph = load_pyav().filter.Graph()
        buffer = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=Fraction(1, 1000),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "table.cube")
            _write_cube(path, build_table(transfer, primaries))
            table = self._graph.add("lut3d", file=str(path), interp="tetrahedral")
            last = self._graph.add("format", pix_fmts="rgb24")
            sink = self._graph.add("buffersink")
            buffer.link_to(table)
            table.link_to(last)
            last.link_to(sink)
            self._graph.configure()
        self._buffer, self._sink = buffer, sink

    def apply(self, frame: Any) -> Pixels:
        frame.pts = None
        self._buffer.push(frame)
        return np.asarray(self._sink.pull().to_ndarray(), np.uint8)


def _write_cube(path: Path, table: Doubles) -> None:
    with path.open("w", encoding="ascii") as stream:
        stream.write(f"LUT_3D_SIZE {len(table)}\n")
        np.savetxt(stream, table.reshape(-1, 3), "%.6f")  # red changes fastest


def _linearize(signal: Doubles, transfer: int) -> Doubles:
    """Return linear light, 1 at reference white."""
    if transfer == PQ:  # SMPTE ST 2084
        power = signal ** (32 / 2523)
        nits = 10_000 * (
            np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        ) ** (16384 / 2610)
        return np.asarray(nits / REFERENCE_WHITE)
    if transfer == HLG:
        return np.asarray(_linearize_hlg(signal) / _linearize_hlg(HLG_WHITE))
    return np.asarray(signal**SDR_GAMMA)


def _linearize_hlg(signal: Any) -> Any:
    """Invert the HLG OETF (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(
        np.asarray(signal) <= 0.5,  # noqa: PLR2004 - where the two branches meet
        np.asarray(signal) ** 2 / 3,
        (np.exp((np.asarray(signal) - c) / a) + b) / 12,
    )


def _compress_highlights(linear: Doubles, peak: float) -> Doubles:
    """Map the range from KNEE to `peak` to KNEE..1, with the hue kept."""
    highest = np.maximum(linear.max(-1, keepdims=True), 1e-9)
    above = np.clip((highest - KNEE) / (1 - KNEE), 0, (peak - KNEE) / (1 - KNEE))
    limit = (peak - KNEE) / (1 - KNEE)
    compressed = KNEE + (1 - KNEE) * above * (1 + above / limit**2) / (1 + above)
    return np.asarray(linear * np.where(highest > KNEE, compressed / highest, 1.0))
