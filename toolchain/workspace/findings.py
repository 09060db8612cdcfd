"""What files of findings (validation.json, layers.json) have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolchain.workspace.digests import file_digest


def digests(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """The digests of the files that findings speak of, named from `folder` where they lie in it."""
    return {_relative(path, folder): str(file_digest(path)) for path in paths}


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null (and are failures already)."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
