"""Alignment and exposure matching of a clean plate to a frame (`--align`, `--match-exposure`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.definitions.arrays import Doubles, Mask, Pixels
from toolchain.metrics.plate import (
    Mistake,
    PlateOffset,
    find_mistake,
    median_difference,
    plate_offset,
)
from toolchain.run.extras import load_opencv
from toolchain.run.request import Align

ESTIMATION_WIDTH = 640  # images are at most this wide for features and refinement
MAX_FEATURES, MIN_INLIERS = 2000, 20  # ORB features, and matches that must agree on a homography
RANSAC_THRESHOLD = 2.0  # pixels
ECC_ITERATIONS, ECC_EPSILON, ECC_FILTER = 40, 1e-4, 5
ECC_SHARE = 0.75  # share of the pixels, those that differ least, that the refinement uses
SMOOTHING = 1.5  # pixels, standard deviation of the blur before a warp is judged
MAX_RATIO = 0.95  # of the difference after and before, for a warp to be kept
MAX_DIFFERENCE = 12.0  # median after the correction, 0..255, above which it may be another scene
MAX_SHIFT, MAX_GAIN_RATIO = 0.05, 1.4  # of the width; of the largest gain to the smallest
MISTAKES: dict[Mistake, str] = {
    "equal": "The frame equals its clean plate, so nothing in it is foreground. The plate must be "
    "taken without the foreground, and the frame with it.",
    "other": "The clean plate shows another scene than the frame, or in very different light. "
    "Mattes from it are not usable: take the plate with the same camera in the same place.",
    "exchanged": "The foreground seems to be in the clean plate and not in the frame. "
    "--src and --bgr may be exchanged.",
}


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
        mistake: What is wrong with the plate itself, see `find_mistake`.
    """

    plate: Pixels
    offset: PlateOffset
    matrix: Doubles | None
    gains: tuple[float, float, float]
    before: float
    after: float
    mistake: Mistake | None = None

    @property
    def plate_changed(self) -> bool:
        """Whether the plate was warped or multiplied."""
        return self.matrix is not None or self.gains != (1.0, 1.0, 1.0)


def correct_plate(
    src: Pixels, bgr: Pixels, align: Align, *, exposure: bool | None
) -> PlateCorrection:
    """Align a clean plate to a frame and match its exposure.

    A warp is kept only if it reduces the difference from the frame. Pixels outside the warped
    plate are copied from the frame, so the model treats them as background.

    Args:
        src: The frame, H x W x 3, uint8, RGB.
        bgr: The clean plate, likewise.
        align: "none"; "auto" for a translation where the offset is at least one pixel;
            "translation"; or "homography" to also try a homography, for a camera that turned.
        exposure: Whether to multiply each channel by its measured gain; None: where the gains show
            and reduce the difference.

    Returns:
        The corrected plate; `bgr` itself if nothing was changed.
    """
    offset = plate_offset(src, bgr)
    before = median_difference(src, bgr)
    plate, matrix = bgr, None
    gains = (1.0, 1.0, 1.0)
    if align != "none":
        if align != "auto" or offset.moved:
            matrix = _find_matrix(src, _apply_gains(bgr, offset.gains), align, offset)
        if matrix is not None:
            plate = _warp(bgr, matrix)
    if exposure is not False and (exposure or offset.exposed):
        found = plate_offset(src, plate).gains if matrix is not None else offset.gains
        matched = _apply_gains(plate, found)
        limit = MAX_RATIO * median_difference(src, plate)
        if exposure or median_difference(src, matched) < limit:
            gains, plate = found, matched
    mistake = find_mistake(src, plate)
    after = before if plate is bgr else median_difference(src, plate)
    if after > MAX_DIFFERENCE and _is_implausible(src, offset):
        mistake = "other"
    if mistake == "other":  # what was measured means nothing
        offset = replace(offset, shift=(0.0, 0.0), gains=(1.0, 1.0, 1.0))
        return PlateCorrection(bgr, offset, None, (1.0, 1.0, 1.0), before, before, mistake)
    if matrix is not None:
        plate = np.where(_find_covered(plate, matrix)[..., None], plate, src)
    return PlateCorrection(plate, offset, matrix, gains, before, after, mistake)


def describe_correction(
    correction: PlateCorrection, *, align: Align, exposure: bool | None
) -> list[str]:
    """Describe the quality of a clean plate for the user.

    Args:
        correction: Result of `correct_plate`.
        align: As for `correct_plate`.
        exposure: As for `correct_plate`.

    Returns:
        Sentences; none if the plate is good and no correction was requested.
    """
    if correction.mistake is not None:
        return [MISTAKES[correction.mistake]]
    offset = correction.offset
    lines, options = [], []
    x, y = offset.shift
    if offset.moved:
        lines.append(
            f"The clean plate is misaligned: the frame is offset by {x:+.1f}, {y:+.1f} px."
        )
        if align == "none":
            options.append("--align")
    if offset.exposed:
        gains = ", ".join(f"{gain:.2f}" for gain in offset.gains)
        lines.append(f"Exposure differs from the clean plate: R, G, B gains {gains}.")
        if exposure is False:
            options.append("--match-exposure")
    if options:
        lines.append(f"This degrades the mattes. Retake the plate, or try {' '.join(options)}.")
    is_requested = align in ("translation", "homography") or exposure is True
    if is_requested or correction.plate_changed:
        lines.append(
            f"Clean plate corrected: median difference from the frame {correction.before:.1f} -> "
            f"{correction.after:.1f} of 255."
        )
    if correction.matrix is None and (is_requested or offset.moved) and align != "none":
        lines.append("Alignment did not reduce the difference; the plate was not moved.")
    return lines


def _is_implausible(src: Pixels, offset: PlateOffset) -> bool:
    """Whether an offset or gains are rather a fit to another scene."""
    is_far = np.hypot(*offset.shift) > MAX_SHIFT * src.shape[1]
    return bool(is_far or max(offset.gains) > MAX_GAIN_RATIO * min(offset.gains))


def _find_matrix(src: Pixels, bgr: Pixels, align: Align, offset: PlateOffset) -> Doubles | None:
    """Find the warp of a plate of equal exposure, None if none reduces the difference."""
    step = max(1, round(src.shape[1] / ESTIMATION_WIDTH))
    src, bgr = _reduce(src, step), _reduce(bgr, step)
    candidates = [_find_translation(src, bgr, offset.shift[0] / step, offset.shift[1] / step)]
    if align == "homography" and (homography := _find_homography(src, bgr)) is not None:
        candidates.append(homography)
    ratios = [_measure_ratio(src, bgr, candidate) for candidate in candidates]
    if min(ratios) >= MAX_RATIO:
        return None
    # Pixel i of the reduced image has its centre at i * step + (step - 1) / 2.
    middle = (step - 1) / 2
    enlarge = np.array([[step, 0, middle], [0, step, middle], [0, 0, 1]], np.float64)
    found = enlarge @ candidates[int(np.argmin(ratios))] @ np.linalg.inv(enlarge)
    return np.asarray(found / found[2, 2])


def _reduce(image: Pixels, step: int) -> Pixels:
    if step == 1:
        return image
    height, width = (side // step * step for side in image.shape[:2])
    size = width // step, height // step
    cv = load_opencv()
    return np.asarray(cv.resize(image[:height, :width], size, interpolation=cv.INTER_AREA))


def _apply_gains(plate: Pixels, gains: tuple[float, float, float]) -> Pixels:
    table = np.clip(np.rint(np.arange(256)[:, None] * np.array(gains)), 0, 255).astype(np.uint8)
    return np.dstack([table[plate[..., channel], channel] for channel in range(3)])


def _find_translation(src: Pixels, bgr: Pixels, x: float, y: float) -> Doubles:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
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
