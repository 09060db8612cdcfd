"""Second implementations of what is measured, written from the text and as plainly as can be."""

from __future__ import annotations

import math

import numpy as np


def by_the_text(p: np.ndarray, f: np.ndarray, a: np.ndarray, t: np.ndarray) -> list[float]:
    """Pixel by pixel, window by window, 9 x 9 kernel and all."""
    sigma = 1.4
    half = 4
    kernel = np.zeros((9, 9))
    for i in range(9):
        for j in range(9):
            y, x = i - half, j - half
            density = math.exp(-(y**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
            other = math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
            kernel[i, j] = density * -x * other / sigma**2
    kernel /= math.sqrt((kernel**2).sum())

    def length(matte: np.ndarray) -> np.ndarray:
        padded = np.pad(matte, half, mode="symmetric")
        out = np.zeros(matte.shape)
        for row in range(matte.shape[0]):
            for column in range(matte.shape[1]):
                window = padded[row : row + 9, column : column + 9]
                out[row, column] = math.hypot((window * kernel).sum(), (window * kernel.T).sum())
        return out

    seen = [(r, c) for r in range(a.shape[0]) for c in range(a.shape[1]) if a[r, c] > 0.01]
    errors = [(f[r, c, k] - t[r, c, k]) ** 2 for r, c in seen for k in range(3)]
    return [
        1000 * sum(abs(x - y) for x, y in zip(p.flat, a.flat, strict=True)) / p.size,
        1000 * sum((x - y) ** 2 for x, y in zip(p.flat, a.flat, strict=True)) / p.size,
        ((length(a) - length(p)) ** 2).sum() / 1000,
        1000 * sum(errors) / len(errors) if errors else 0.0,
    ]


def by_the_paper(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Level by level: flood each region pixel by pixel, keep the largest, note who left it."""
    height, width = truth.shape
    l_map = np.full(truth.shape, -1.0)
    for step in range(1, 11):
        mask = (predicted >= step / 10) & (truth >= step / 10)
        best: list[tuple[int, int]] = []
        seen = np.zeros(truth.shape, bool)
        for start in zip(*np.nonzero(mask), strict=True):
            if seen[start]:
                continue
            region, border = [], [start]
            seen[start] = True
            while border:
                row, column = border.pop()
                region.append((row, column))
                for r, c in (
                    (row - 1, column),
                    (row + 1, column),
                    (row, column - 1),
                    (row, column + 1),
                ):
                    inside = 0 <= r < height and 0 <= c < width
                    if inside and mask[r, c] and not seen[r, c]:
                        seen[r, c] = True
                        border.append((r, c))
            if len(region) > len(best):
                best = region
        omega = np.zeros(truth.shape, bool)
        for pixel in best:
            omega[pixel] = True
        l_map[(l_map == -1) & ~omega] = (step - 1) / 10
    l_map[l_map == -1] = 1
    phi = []
    for alpha in (predicted, truth):
        distance = alpha - l_map
        phi.append(1 - distance * (distance >= 0.15))
    return float(np.abs(phi[0] - phi[1]).sum())


def pixel_by_pixel(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Each new pixel from its four neighbours."""
    rows, columns = values.shape[:2]
    out = np.zeros((height, width, *values.shape[2:]))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * rows / height - 0.5, 0), rows - 1)
            x = min(max((column + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = math.floor(y), math.floor(x)
            below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            v, u = y - top, x - left
            out[row, column] = (
                (1 - v) * (1 - u) * values[top, left]
                + (1 - v) * u * values[top, right]
                + v * (1 - u) * values[below, left]
                + v * u * values[below, right]
            )
    return out
