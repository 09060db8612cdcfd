"""A clean plate moved and lit as the frame is: what `--align` and `--match-exposure` do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Pixels
from toolchain.metrics.plate import PlateOffset, median_difference, plate_offset
from toolchain.run.extras import opencv

Align = Literal["off", "translation", "homography"]
FEATURES, NEEDED = 4000, 20  # corners looked for, and how many have to agree
STRAY = 2.0  # pixels that a corner may lie off
STEPS, ENOUGH = 40, 1e-4  # of the refinement
BLUR = 5
SHARE = 0.75  # of the pixels, those that agree best, are what the refinement looks at
SMOOTH = 1.5  # pixels, of the pictures that are compared to judge a move
BETTER = 0.95  # what the difference must fall to, for a moved plate to be taken


@dataclass(frozen=True)
class Correction:
    """What was done to a plate.  `before`, `after`: median differences to the frame, 0..255.

    `moved`: the 3 x 3 matrix from the plate's pixels (x, y, 1) to the frame's, None where it was
    left; `gains`: what its R, G, B were multiplied by.
    """

    plate: Pixels
    offset: PlateOffset
    moved: npt.NDArray[np.float64] | None
    gains: tuple[float, float, float]
    before: float
    after: float


def corrected(src: Pixels, bgr: Pixels, align: Align, *, exposure: bool) -> Correction:
    """The plate `bgr` for the frame `src`, H x W x 3 uint8 RGB both.

    `align`: by a translation, or by a homography (for a camera that turned) if that brings it
    nearer; kept only if the plate agrees better with the frame then.  What a moved plate does not
    reach is taken from the frame, so that it counts as background.  `exposure`: multiply each
    channel by its measured gain.
    """
    offset = plate_offset(src, bgr)
    before = median_difference(src, bgr)
    plate, moved = bgr, None
    gains = offset.gains if exposure else (1.0, 1.0, 1.0)
    if align != "off":
        lit = _lit(bgr, offset.gains)  # corners and refinement see the same light in both
        found = [_translation(src, lit, offset)]
        if align == "homography" and (turned := _homography(src, lit)) is not None:
            found.append(turned)
        left = [_left(src, lit, matrix) for matrix in found]
        if min(left) < BETTER:
            moved = found[int(np.argmin(left))]
            plate = _warped(bgr, moved)
    if exposure:
        if moved is not None:
            gains = plate_offset(src, plate).gains
        plate = _lit(plate, gains)
    after = before if plate is bgr else median_difference(src, plate)
    if moved is not None:
        plate = np.where(_reached(plate, moved)[..., None], plate, src)
    return Correction(plate, offset, moved, gains, before, after)


def advice(found: Correction, *, align: bool, exposure: bool) -> list[str]:
    """What a person should know about the plate, in sentences; none where it fits.

    `align`, `exposure`: what was asked for.
    """
    offset = found.offset
    lines, helps = [], []
    x, y = offset.shift
    if offset.moved:
        lines.append(f"The frame is shifted against the plate by {x:+.1f}, {y:+.1f} pixels.")
    if offset.exposed:
        gains = ", ".join(f"{gain:.2f}" for gain in offset.gains)
        lines.append(f"The frame is exposed otherwise than the plate: R, G, B times {gains}.")
    if offset.moved and not align:
        helps.append("--align")
    if offset.exposed and not exposure:
        helps.append("--match-exposure")
    if helps:
        lines.append(f"Mattes will suffer; take the plate again, or try {' '.join(helps)}.")
    if align or exposure:
        lines.append(
            f"Plate put right: median difference to the frame {found.before:.1f} -> "
            f"{found.after:.1f} of 255."
        )
        if align and found.moved is None:
            lines.append("No move of the plate brought it nearer; it stays where it is.")
    return lines


def _lit(plate: Pixels, gains: tuple[float, float, float]) -> Pixels:
    table = np.clip(np.rint(np.arange(256)[:, None] * np.array(gains)), 0, 255).astype(np.uint8)
    return np.dstack([table[plate[..., channel], channel] for channel in range(3)])


def _translation(src: Pixels, bgr: Pixels, offset: PlateOffset) -> npt.NDArray[np.float64]:
    matrix = np.array([[1, 0, offset.shift[0]], [0, 1, offset.shift[1]]], np.float32)
    return _refined(src, bgr, matrix, opencv().MOTION_TRANSLATION)


def _homography(src: Pixels, bgr: Pixels) -> npt.NDArray[np.float64] | None:
    cv = opencv()
    finder = cv.ORB_create(FEATURES)
    (ours, one), (theirs, other) = (
        finder.detectAndCompute(cv.cvtColor(picture, cv.COLOR_RGB2GRAY), None)
        for picture in (src, bgr)
    )
    if one is None or other is None:
        return None
    matches = cv.BFMatcher(cv.NORM_HAMMING, crossCheck=True).match(other, one)
    if len(matches) < NEEDED:
        return None
    places = np.array([theirs[match.queryIdx].pt for match in matches], np.float32)
    goals = np.array([ours[match.trainIdx].pt for match in matches], np.float32)
    matrix, agreed = cv.findHomography(places, goals, cv.RANSAC, STRAY)
    if matrix is None or int(agreed.sum()) < NEEDED:
        return None
    return _refined(src, bgr, matrix.astype(np.float32), cv.MOTION_HOMOGRAPHY)


def _refined(
    src: Pixels, bgr: Pixels, matrix: npt.NDArray[np.float32], kind: int
) -> npt.NDArray[np.float64]:
    """By maximising the enhanced correlation (Evangelidis and Psarakis, 2008) where they agree."""
    cv = opencv()
    full = np.eye(3)
    full[: len(matrix)] = matrix
    apart = cv.GaussianBlur(np.abs(src.astype(np.float32) - _warped(bgr, full)), (0, 0), 8)
    apart = apart.mean(2)
    mask = (apart <= np.quantile(apart, SHARE)).astype(np.uint8) * 255
    grey = [cv.cvtColor(picture, cv.COLOR_RGB2GRAY) for picture in (src, bgr)]
    inverse = np.linalg.inv(full)[: len(matrix)].astype(np.float32)
    criteria = (cv.TERM_CRITERIA_EPS | cv.TERM_CRITERIA_COUNT, STEPS, ENOUGH)
    try:
        _, inverse = cv.findTransformECC(grey[0], grey[1], inverse, kind, criteria, mask, BLUR)
    except cv.error:  # it did not converge: what it began with is the best there is
        return full
    full[:] = np.eye(3)
    full[: len(inverse)] = inverse
    return np.asarray(np.linalg.inv(full))


def _warped(plate: Pixels, matrix: npt.NDArray[Any]) -> Pixels:
    """What it does not reach repeats its border."""
    cv = opencv()
    size = plate.shape[1], plate.shape[0]
    border = cv.BORDER_REPLICATE
    return np.asarray(cv.warpPerspective(plate, matrix, size, borderMode=border), np.uint8)


def _left(src: Pixels, bgr: Pixels, matrix: npt.NDArray[np.float64]) -> float:
    """What part of the difference is left by a move, where the moved plate reaches."""
    reached = _reached(bgr, matrix)
    # Interpolation smooths noise away; in pictures that are smooth already it gains nothing by it.
    frame, plate, there = (
        opencv().GaussianBlur(picture, (0, 0), SMOOTH)
        for picture in (src, bgr, _warped(bgr, matrix))
    )
    before = median_difference(frame, plate, reached)
    return median_difference(frame, there, reached) / before if before else np.inf


def _reached(plate: Pixels, matrix: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a moved plate has pixels of its own."""
    whole = np.full(plate.shape[:2], 255, np.uint8)
    size = plate.shape[1], plate.shape[0]
    return np.asarray(opencv().warpPerspective(whole, matrix, size) == 255)  # noqa: PLR2004
