"""Videos as people have them: turned, mirrored, HDR, anamorphic, with a cover, without times."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.clips import RATE, make_walk, write_clip
from toolchain.run.video_colour import HLG, PQ, build_table
from toolchain.run.video_source import VideoSource

ONE = 0x10000  # of the display matrix, 16.16 fixed point


def write_turned(path: Path, frame: np.ndarray, matrix: tuple[int, int, int, int]) -> Path:
    """Write a clip whose track header has the display matrix a, b, c, d."""
    write_clip(path, [frame] * 3)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version 0
    a, b, c, d = (value * ONE for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].swapaxes(0, 1)),
    ],
)
def test_all_display_matrices_are_applied(
    tmp_path: Path, matrix: tuple[int, int, int, int], turn: object
) -> None:
    """Turned and mirrored frames are shown as players show them."""
    frame = make_walk(1)[0][0]
    frame[:40, :60] = (250, 20, 20)  # one corner
    path = write_turned(tmp_path / "clip.mp4", frame, matrix)
    found = next(VideoSource(path).frames()).pixels
    expected = turn(frame)  # type: ignore[operator]
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 4


def encode_pq(linear: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084 with reference white at 203 cd/m2."""
    power = (linear * 203 / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def encode_hlg(linear: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 with reference white at 75 %."""
    scene = linear * (np.exp((0.75 - 0.55991073) / 0.17883277) + 0.28466892) / 12
    low = np.sqrt(3 * scene)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, low, high)


def write_hdr(path: Path, colours: list[tuple[int, int, int]], transfer: int) -> Path:
    """Write vertical bars of sRGB colours as HDR in BT.2020 with 10 bits."""
    to_2020 = np.linalg.inv(
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    )
    srgb = np.array(colours) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ to_2020.T
    signal = (encode_pq if transfer == PQ else encode_hlg)(np.maximum(linear, 0))
    bars = np.repeat(np.rint(signal * 65535).astype(np.uint16)[None], 64, 0).repeat(64, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", rate=RATE)
        stream.height, stream.width = bars.shape[:2]
        stream.pix_fmt = "yuv444p10le"
        stream.options = {"profile": "4444"}
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, transfer
        context.color_range = 1
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(bars, format="rgb48le")
            frame = frame.reformat(format="yuv444p10le", dst_colorspace="BT2020")
            frame.colorspace, frame.color_primaries, frame.color_trc = 9, 9, transfer
            frame.color_range = 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_mapped_to_bt709(tmp_path: Path, transfer: int) -> None:
    """Colours below the highlights have their sRGB values; white is near 255; the user is told."""
    colours = [(220, 180, 150), (180, 30, 40), (63, 130, 196), (0, 0, 0), (128, 128, 128)]
    source = VideoSource(write_hdr(tmp_path / "hdr.mov", [*colours, (255, 255, 255)], transfer))
    pixels = next(source.frames()).pixels
    for number, colour in enumerate(colours):
        assert np.abs(pixels[32, 64 * number + 32].astype(int) - colour).max() <= 6
    assert pixels[32, -32].min() >= 238
    name = "PQ" if transfer == PQ else "HLG"
    assert source.notes == [f"{source.label}: HDR ({name}) is converted to BT.709 with 8 bits."]


def test_highlights_keep_their_order() -> None:
    """The table is monotonic from black to the peak, and reaches white."""
    for transfer in (PQ, HLG):
        table = build_table(transfer, 9)
        greys = table[range(33), range(33), range(33)].mean(-1)
        assert (np.diff(greys) >= -1e-9).all()
        assert greys[0] < 1e-6
        assert greys[-1] > 0.999


def test_anamorphic_frames(tmp_path: Path) -> None:
    """Frames state the aspect ratio of their pixels, or are scaled to square ones."""
    frames = make_walk(2)[0]
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    stored = next(VideoSource(path).frames())
    assert (stored.size, stored.aspect) == ((320, 192), Fraction(4, 3))
    square = next(VideoSource(path, square=True).frames())
    assert (square.size, square.aspect) == ((427, 192), Fraction(1))


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    """If a cover is the first stream, the film is read."""
    frames = make_walk(5)[0]
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width = frames[0].shape[:2]
        film.pix_fmt = "yuv420p"
        small = av.VideoFrame.from_ndarray(frames[0][:64, :64].copy(), format="rgb24")
        container.mux(cover.encode(small.reformat(format="yuvj420p")))
        for pixels in frames:
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(film.encode(None))
    found = list(VideoSource(path).frames())
    assert [frame.size for frame in found] == [(320, 192)] * 5


def test_avi_has_the_times_of_its_rate(tmp_path: Path) -> None:
    """AVI states no times of reordered frames; they follow from the constant rate."""
    path = write_clip(tmp_path / "clip.avi", make_walk(20)[0])
    times = [frame.time for frame in VideoSource(path).frames()]
    assert times == [Fraction(number, RATE) for number in range(20)]
