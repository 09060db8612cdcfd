"""Alignment and exposure matching of a clean plate to a frame (`--align`, `--match-exposure`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Doubles, Mask, Pixels
from toolchain.metrics.plate import PlateOffset, median_difference, plate_offset
from toolchain.run.extras import load_opencv
from toolchain.run.request import Align

MAX_FEATURES, MIN_INLIERS = 4000, 20  # ORB features, and matches that must agree on a homography
RANSAC_THRESHOLD = 2.0  # pixels
ECC_ITERATIONS, ECC_EPSILON, ECC_FILTER = 40, 1e-4, 5
ECC_SHARE = 0.75  # share of the pixels, those that differ least, that the refinement uses
SMOOTHING = 1.5  # pixels, standard deviation of the blur before a warp is judged
MAX_RATIO = 0.95  # of the difference after and before, for a warp to be kept


@dataclass(frozen=True)
class PlateCorrection:
    """A corrected clean plate, and what was done to it.

    Attributes:
        plate: H x W x 3, uint8, RGB.
        offset: Offset that was measured before the correction.
        matrix: 3 x 3 matrix from pixels (x, y, 1) of the plate to those of the frame, None if the
            plate was not warped.
        gains: Factors by which R, G, B of the plate were multiplied.
        before: Median difference from the frame before the correction, 0..255.
        after: Median difference from the frame after it.
    """

    plate: Pixels
    offset: PlateOffset
    matrix: Doubles | None
    gains: tuple[float, float, float]
    before: float
    after: float


def correct_plate(src: Pixels, bgr: Pixels, align: Align, *, exposure: bool) -> PlateCorrection:
    """Align a clean plate to a frame and match its exposure.

    A warp is kept only if it reduces the difference from the frame. Pixels outside the warped
    plate are copied from the frame, so the model treats them as background.

    Args:
        src: The frame, H x W x 3, uint8, RGB.
        bgr: The clean plate, likewise.
        align: "translation", or "homography" to also try a homography, for a camera that turned.
        exposure: Whether to multiply each channel by its measured gain.

    Returns:
        The corrected plate; `bgr` itself if nothing was changed.
    """
    offset = plate_offset(src, bgr)
    before = median_difference(src, bgr)
    plate, matrix = bgr, None
    gains = offset.gains if exposure else (1.0, 1.0, 1.0)
    if align != "off":
        matched = _apply_gains(bgr, offset.gains)  # features and refinement need equal exposure
        candidates = [_find_translation(src, matched, offset)]
        if align == "homography" and (homography := _find_homography(src, matched)) is not None:
            candidates.append(homography)
        ratios = [_measure_ratio(src, matched, candidate) for candidate in candidates]
        if min(ratios) < MAX_RATIO:
            matrix = candidates[int(np.argmin(ratios))]
            plate = _warp(bgr, matrix)
    if exposure:
        if matrix is not None:
            gains = plate_offset(src, plate).gains
        plate = _apply_gains(plate, gains)
    after = before if plate is bgr else median_difference(src, plate)
    if matrix is not None:
        plate = np.where(_find_covered(plate, matrix)[..., None], plate, src)
    return PlateCorrection(plate, offset, matrix, gains, before, after)


def describe_correction(correction: PlateCorrection, *, align: bool, exposure: bool) -> list[str]:
    """Describe the quality of a clean plate for the user.

    Args:
        correction: Result of `correct_plate`.
        align: Whether alignment was requested.
        exposure: Whether exposure matching was requested.

    Returns:
        Sentences; none if the plate is good and no correction was requested.
    """
    offset = correction.offset
    lines, options = [], []
    x, y = offset.shift
    if offset.moved:
        lines.append(
            f"The clean plate is misaligned: the frame is offset by {x:+.1f}, {y:+.1f} px."
        )
        if not align:
            options.append("--align")
    if offset.exposed:
        gains = ", ".join(f"{gain:.2f}" for gain in offset.gains)
        lines.append(f"Exposure differs from the clean plate: R, G, B gains {gains}.")
        if not exposure:
            options.append("--match-exposure")
    if options:
        lines.append(f"This degrades the mattes. Retake the plate, or try {' '.join(options)}.")
    if align or exposure:
        lines.append(
            f"Clean plate corrected: median difference from the frame {correction.before:.1f} -> "
            f"{correction.after:.1f} of 255."
        )
        if align and correction.matrix is None:
            lines.append("Alignment did not reduce the difference; the plate was not moved.")
    return lines


def _apply_gains(plate: Pixels, gains: tuple[float, float, float]) -> Pixels:
    table = np.clip(np.rint(np.arange(256)[:, None] * np.array(gains)), 0, 255).astype(np.uint8)
    return np.dstack([table[plate[..., channel], channel] for channel in range(3)])


def _find_translation(src: Pixels, bgr: Pixels, offset: PlateOffset) -> Doubles:
    matrix = np.array([[1, 0, offset.shift[0]], [0, 1, offset.shift[1]]], np.float32)
    return _refine(src, bgr, matrix, load_opencv().MOTION_TRANSLATION)


def _find_homography(src: Pixels, bgr: Pixels) -> Doubles | None:
    """Find the homography that most matches of ORB features agree on, None if too few do."""
    cv = load_opencv()
    detector = cv.ORB_create(MAX_FEATURES)
    (src_points, src_features), (bgr_points, bgr_features) = (
        detector.detectAndCompute(cv.cvtColor(image, cv.COLOR_RGB2GRAY), None)
        for image in (src, bgr)
    )
    if src_features is None or bgr_features is None:
        return None
    matches = cv.BFMatcher(cv.NORM_HAMMING, crossCheck=True).match(bgr_features, src_features)
    if len(matches) < MIN_INLIERS:
        return None
    from_points = np.array([bgr_points[match.queryIdx].pt for match in matches], np.float32)
    to_points = np.array([src_points[match.trainIdx].pt for match in matches], np.float32)
    matrix, inliers = cv.findHomography(from_points, to_points, cv.RANSAC, RANSAC_THRESHOLD)
    if matrix is None or int(inliers.sum()) < MIN_INLIERS:
        return None
    return _refine(src, bgr, matrix.astype(np.float32), cv.MOTION_HOMOGRAPHY)


def _refine(src: Pixels, bgr: Pixels, matrix: npt.NDArray[np.float32], motion: int) -> Doubles:
    """Maximize the enhanced correlation coefficient (Evangelidis and Psarakis, 2008).

    Only the pixels that differ least are used, which excludes the foreground.
    """
    cv = load_opencv()
    full = np.eye(3)
    full[: len(matrix)] = matrix
    difference = cv.GaussianBlur(np.abs(src.astype(np.float32) - _warp(bgr, full)), (0, 0), 8)
    difference = difference.mean(2)
    mask = (difference <= np.quantile(difference, ECC_SHARE)).astype(np.uint8) * 255
    src_grey, bgr_grey = (cv.cvtColor(image, cv.COLOR_RGB2GRAY) for image in (src, bgr))
    inverse = np.linalg.inv(full)[: len(matrix)].astype(np.float32)
    criteria = (cv.TERM_CRITERIA_EPS | cv.TERM_CRITERIA_COUNT, ECC_ITERATIONS, ECC_EPSILON)
    try:
        _, inverse = cv.findTransformECC(
            src_grey, bgr_grey, inverse, motion, criteria, mask, ECC_FILTER
        )
    except cv.error:  # it did not converge
        return full
    full[:] = np.eye(3)
    full[: len(inverse)] = inverse
    return np.asarray(np.linalg.inv(full))


def _warp(plate: Pixels, matrix: npt.NDArray[Any]) -> Pixels:
    """Warp a plate; its border is repeated outside."""
    cv = load_opencv()
    size = plate.shape[1], plate.shape[0]
    warped = cv.warpPerspective(plate, matrix, size, borderMode=cv.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _measure_ratio(src: Pixels, bgr: Pixels, matrix: Doubles) -> float:
    """Measure the difference after and before a warp, where the warped plate covers the frame."""
    covered = _find_covered(bgr, matrix)
    # Interpolation removes noise. Smoothing all images first keeps that from counting as a gain.
    frame, plate, warped = (
        load_opencv().GaussianBlur(image, (0, 0), SMOOTHING)
        for image in (src, bgr, _warp(bgr, matrix))
    )
    before = median_difference(frame, plate, covered)
    return median_difference(frame, warped, covered) / before if before else np.inf


def _find_covered(plate: Pixels, matrix: npt.NDArray[Any]) -> Mask:
    """Find the pixels of the frame that the warped plate covers, H x W."""
    white = np.full(plate.shape[:2], 255, np.uint8)
    size = plate.shape[1], plate.shape[0]
    return np.asarray(load_opencv().warpPerspective(white, matrix, size) == 255)  # noqa: PLR2004
