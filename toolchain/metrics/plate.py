"""Shift and exposure of a clean plate relative to the frame's own background.

Both are measured where the two agree, so that the subject is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Floats, Pixels

TRACKING_WIDTH = 320  # likewise for every frame of a clip
WIDTH = 640  # shifts are searched at most at this width, and reported at the frame's
LOWPASS = 0.12  # cycles per pixel; higher frequencies are noise
NEAR = 2  # half the side of the window around the peak whose centre is the shift
DARK, BRIGHT = 16, 239  # a ratio outside comes from clipping, not exposure
BINS = np.linspace(np.log(0.4), np.log(2.5), 385)
SMOOTHING = np.exp(-0.5 * (np.arange(-8, 9) / 2.0) ** 2)  # a Gaussian of two bins
BETTER = 0.97  # the median difference must fall to this for a shift to be accepted
Mistake = Literal["equal", "other", "exchanged"]
EQUAL, ALIKE, UNLIKE = 1.5, 16.0, 30.0  # differences of a block or pixel, 0..255
LEAST_ALIKE = 0.15  # share of the blocks of a frame that agree with its own plate
FEWEST, MOST = 0.01, 0.6  # share of the pixels that a foreground has, for its outline to be judged
STEEPER = 1.25  # ratio of the gradients on the outline
SHIFT_LIMIT, GAIN_LIMIT = 1.0, 0.04  # from here on a shift or gain is reported


@dataclass(frozen=True)
class PlateOffset:
    """Deviation of a plate from the background of its frame.

    Attributes:
        shift: Offset of the frame relative to the plate, right and down, in pixels.
        gains: Factors for R, G and B of the plate.
        before: Median over blocks of the absolute difference, 0..255.
        after: The same after the correction of both.
    """

    shift: tuple[float, float]
    gains: tuple[float, float, float]
    before: float
    after: float

    @property
    def moved(self) -> bool:
        """Whether the shift is visible."""
        return float(np.hypot(*self.shift)) >= SHIFT_LIMIT

    @property
    def exposed(self) -> bool:
        """Whether the difference of exposure or white balance is visible."""
        return max(abs(gain - 1) for gain in self.gains) >= GAIN_LIMIT


def plate_offset(src: Pixels, bgr: Pixels) -> PlateOffset:
    """Measure H x W x 3 uint8 RGB `bgr` against `src` of the same size.

    The shift is the peak of the phase correlation of the two in grey, low-passed (Kuglin and
    Hines, 1975), to a fraction of a pixel by its centre of mass; it is accepted only if it reduces
    the difference, else it is (0, 0).  The gains are the most frequent ratios of pixels.
    """
    step = max(1, round(src.shape[1] / WIDTH))
    frame, plate = (_reduced(picture, step) for picture in (src, bgr))
    shift = _shift(frame.mean(2), plate.mean(2))
    before = _difference(frame, plate, _gains(frame, plate))
    moved = _moved(plate, shift)
    if _difference(frame, moved, _gains(frame, moved)) > BETTER * before:
        shift, moved = (0.0, 0.0), plate
    gains = _gains(frame, moved)
    plain = _difference(frame, plate, (1.0, 1.0, 1.0))
    after = _difference(frame, moved, gains)
    return PlateOffset((shift[0] * step, shift[1] * step), gains, plain, min(after, plain))


def median_difference(
    src: Pixels, bgr: Pixels, where: npt.NDArray[np.bool_] | None = None
) -> float:
    """The median over blocks of the absolute difference, 0..255, of two H x W x 3 pictures.

    `where`: H x W, the pixels that count; infinite where there is no block of them.
    """
    step = max(1, round(src.shape[1] / WIDTH))
    pictures = [_reduced(picture, step) for picture in (src, bgr)]
    if where is None:
        return _difference(pictures[0], pictures[1], (1.0, 1.0, 1.0))
    counted = _reduced(np.repeat(where[..., None].astype(np.uint8), 3, 2), step)[..., 0] == 1
    return _difference(pictures[0], pictures[1], (1.0, 1.0, 1.0), counted)


def _reduced(picture: Pixels, step: int) -> Floats:
    height, width = (side // step * step for side in picture.shape[:2])
    total = np.zeros((height // step, width // step, 3), np.float32)
    for y in range(step):  # much faster than the mean over two axes of blocks
        for x in range(step):
            total += picture[y:height:step, x:width:step]
    return np.asarray(total / step**2, np.float32)


class ShiftTracker:
    """Shift of each frame of a clip against one plate, measured fast and coarsely.

    Args:
        plate: The plate, H x W x 3, uint8, RGB.
    """

    def __init__(self, plate: Pixels) -> None:
        self._step = max(1, round(plate.shape[1] / TRACKING_WIDTH))
        self._plate = _spectrum(self._reduce(plate))

    def measure(self, frame: Pixels) -> tuple[float, float]:
        """Return how far right and down the frame shows a thing, in pixels of the frame."""
        small = self._reduce(frame)
        x, y = _peak(_spectrum(small), self._plate, small.shape)
        return x * self._step, y * self._step

    def _reduce(self, image: Pixels) -> Floats:
        return np.asarray(image[:: self._step, :: self._step, 1], np.float32)


def find_mistake(src: Pixels, bgr: Pixels) -> Mistake | None:
    """Recognize a plate that is none of this frame.

    Args:
        src: The frame, H x W x 3, uint8, RGB.
        bgr: The plate in the place and exposure of the frame, likewise.

    Returns:
        "equal" if the two show the same, so that there is no foreground; "other" if hardly any part
        agrees; "exchanged" if the outline of the foreground is in the plate; else None.
    """
    step = max(1, round(src.shape[1] / TRACKING_WIDTH))
    frame, plate = (_reduced(picture, step) for picture in (src, bgr))
    apart = np.abs(frame - plate).mean(2)
    height, width = (side // 8 * 8 for side in apart.shape)
    if not (height and width):
        return None
    blocks = apart[:height, :width].reshape(height // 8, 8, width // 8, 8).mean((1, 3))
    if blocks.max() < EQUAL:
        return "equal"
    if (blocks < ALIKE).mean() < LEAST_ALIKE:
        return "other"
    mask = apart > UNLIKE
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    outline = mask[1:-1, 1:-1] & ~inner
    if not FEWEST < mask.mean() < MOST:
        return None
    steepness = [float(_gradient(picture)[outline].mean()) for picture in (frame, plate)]
    return "exchanged" if steepness[1] > STEEPER * steepness[0] else None


def _gradient(picture: Floats) -> Floats:
    grey = picture.mean(2)
    across, down = grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]
    return np.asarray(np.abs(across) + np.abs(down), np.float32)


def _shift(frame: Floats, plate: Floats) -> tuple[float, float]:
    return _peak(_spectrum(frame), _spectrum(plate), frame.shape)


def _spectrum(picture: Floats) -> npt.NDArray[np.complexfloating[Any, Any]]:
    rows, columns = picture.shape
    window = np.outer(np.hanning(rows), np.hanning(columns))
    return np.asarray(np.fft.rfft2((picture - picture.mean()) * window))


def _peak(
    frame: npt.NDArray[np.complexfloating[Any, Any]],
    plate: npt.NDArray[np.complexfloating[Any, Any]],
    shape: tuple[int, ...],
) -> tuple[float, float]:
    rows, columns = shape
    spectra = (frame, plate)
    cross = spectra[0] * spectra[1].conj()
    cross /= np.maximum(np.abs(cross), 1e-9)
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]
    cross *= np.exp(-(fx**2 + fy**2) / (2 * LOWPASS**2))
    peaks = np.fft.fftshift(np.fft.irfft2(cross, (rows, columns)))
    y, x = np.unravel_index(int(peaks.argmax()), peaks.shape)
    ys, xs = np.mgrid[y - NEAR : y + NEAR + 1, x - NEAR : x + NEAR + 1]
    around = np.maximum(peaks[ys % rows, xs % columns], 0)
    total = around.sum()
    if total <= 0:
        return 0.0, 0.0
    return (
        float((around * xs).sum() / total) - columns // 2,
        float((around * ys).sum() / total) - rows // 2,
    )


def _moved(plate: Floats, shift: tuple[float, float]) -> Floats:
    """The plate shifted right and down, linearly interpolated; its edges are repeated."""
    moved = plate
    for axis, distance in ((1, shift[0]), (0, shift[1])):
        length = moved.shape[axis]
        at = np.clip(np.arange(length) - distance, 0, length - 1)
        first = np.minimum(at.astype(np.intp), max(0, length - 2))
        shape = [1, 1, 1]
        shape[axis] = length
        share = (at - first).reshape(shape).astype(np.float32)
        near = np.take(moved, first, axis)
        far = np.take(moved, np.minimum(first + 1, length - 1), axis)
        moved = near + (far - near) * share
    return np.asarray(moved, np.float32)


def _gains(frame: Floats, plate: Floats) -> tuple[float, float, float]:
    """The most frequent ratio of each channel."""
    found = []
    for channel in range(3):
        one, other = frame[..., channel], plate[..., channel]
        usable = (np.minimum(one, other) > DARK) & (np.maximum(one, other) < BRIGHT)
        ratios = np.log(one[usable] / other[usable])
        if ratios.size < frame.size / 3 / 50:  # too few to measure
            found.append(1.0)
            continue
        counts, _ = np.histogram(ratios, BINS)
        smooth = np.convolve(counts, SMOOTHING, mode="same")
        middle = BINS[int(smooth.argmax())] + (BINS[1] - BINS[0]) / 2
        near = ratios[np.abs(ratios - middle) < 6 * (BINS[1] - BINS[0])]
        found.append(float(np.exp(near.mean())))
    return found[0], found[1], found[2]


def _difference(
    frame: Floats,
    plate: Floats,
    gains: tuple[float, float, float],
    counted: npt.NDArray[np.bool_] | None = None,
) -> float:
    """The median over blocks of 8 x 8 of the mean absolute difference."""
    apart = np.abs(frame - np.clip(plate * np.array(gains, np.float32), 0, 255)).mean(2)
    height, width = (side // 8 * 8 for side in apart.shape)
    if not (height and width):
        return float(apart.mean())
    blocks = apart[:height, :width].reshape(height // 8, 8, width // 8, 8).mean((1, 3))
    if counted is not None:
        whole = counted[:height, :width].reshape(height // 8, 8, width // 8, 8).all((1, 3))
        if not whole.any():
            return float("inf")
        blocks = blocks[whole]
    return float(np.median(blocks))
