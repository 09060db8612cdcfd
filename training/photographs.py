"""Photographs that ship inside PyPI packages, under licences that allow training on them.

The held-out sets of the card use `HELD_OUT`, which training does not use.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from toolchain.definitions.arrays import Floats


@dataclass(frozen=True)
class Photograph:
    """`package`: the import name; `path`: inside it; `licence`: as the package states it."""

    package: str
    path: str
    what: str
    licence: str

    def read(self) -> Floats:
        """H x W x 3 float32, RGB 0..1.  Raises SystemExit if the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(
                f"training needs the photographs in {self.package}: pip install '.[train]'"
            )
        with Image.open(Path(spec.submodule_search_locations[0]) / self.path) as picture:
            return np.asarray(picture.convert("RGB"), np.float32) / 255


TRAINED_ON = (
    Photograph("skimage", "data/astronaut.png", "Eileen Collins, NASA", "public domain"),
    Photograph("skimage", "data/brick.png", "brick wall, cc0textures.com", "CC0"),
    Photograph("skimage", "data/chelsea.png", "a cat, Stefan van der Walt", "CC0"),
    Photograph("skimage", "data/coffee.png", "a cup, Rachel Michetti", "CC0"),
    Photograph("skimage", "data/grass.png", "grass, deviantart.com/linolafett", "CC0"),
    Photograph("skimage", "data/gravel.png", "gravel, cc0textures.com", "CC0"),
    Photograph("skimage", "data/hubble_deep_field.jpg", "galaxies, NASA", "public domain"),
    Photograph("skimage", "data/retina.jpg", "a retina, Mikael Häggström", "CC0"),
    Photograph("skimage", "data/rocket.jpg", "a launch, SpaceX", "public domain"),
)
HELD_OUT = (
    Photograph("sklearn", "datasets/images/china.jpg", "temple, danielbuechele", "CC BY 2.0"),
    Photograph("sklearn", "datasets/images/flower.jpg", "flower, vultilion", "CC BY 2.0"),
)
