"""The model of the bundled weights, built once in the user's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from toolchain import __version__
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.pipeline.build import build
from toolchain.pipeline.request import BuildRequest
from toolchain.pipeline.weights import choose_weights, get_layout
from toolchain.progress import Listener

NAME = "bundled"
PRECISION = "FP16"
CACHE_VARIABLE = "MATTING_CACHE"


def find_bundled(listener: Listener) -> Path:
    """Return the folder of the bundled model, which is built if it is not in the cache.

    Args:
        listener: Receives the progress of the build.
    """
    model = read_model(builtin_config())
    cache = get_cache_folder() / __version__
    weights = choose_weights(model, NAME, cache)
    layout = get_layout(model, weights.name, cache)
    xml = layout.ir(PRECISION)
    if not (xml.is_file() and xml.with_suffix(".bin").is_file()):
        listener.note(f"The bundled model is built once, in {layout.folder}.")
        build(
            BuildRequest(
                model,
                weights,
                cache,
                precisions=(PRECISION,),
                stages=("download", "export", "convert"),
            ),
            listener,
        )
    return layout.folder


def get_cache_folder() -> Path:
    """Return the user's cache of the toolchain; MATTING_CACHE names another folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "background-matting-toolchain"
