"""Accuracy as Open Model Zoo published it for this model; never measured here."""

from __future__ import annotations

from typing import Any

PUBLISHED: dict[str, Any] = {
    "about": "figures of Open Model Zoo for the published weights, on another data set that is not "
    "public (HumanMattingClips120: HumanMatting foregrounds over OpenImagesV5 backgrounds, "
    "1280x720); not measured here",
    "rows": {
        "original (PyTorch)": {
            "alpha_mad": 4.32,
            "alpha_mse": 1.0,
            "alpha_grad": 2.48,
            "foreground_mse": 2.7,
        },
        "converted (IR)": {
            "alpha_mad": 4.35,
            "alpha_mse": 1.0,
            "alpha_grad": 2.49,
            "foreground_mse": 2.69,
        },
    },
}
