"""What the evaluation is asked and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.catalog.arguments import ExportSettings
from toolchain.definitions.variants import Hint

if TYPE_CHECKING:
    from toolchain.frames.dataset import Dataset

ORIGINAL, ONNX = "original", "onnx"


@dataclass(frozen=True)
class Way:
    """One model in one way of running it.

    `model`: "original", "onnx", or the precision of an IR.  `file`: the checkpoint, the ONNX, or
    the IR's xml.  `settings`: the network's, for the original.
    """

    model: str
    hint: Hint
    file: Path
    settings: ExportSettings

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the model is made of."""
        if self.file.suffix == ".xml":
            return self.file, self.file.with_suffix(".bin")
        return (self.file,)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its frames."""
        return self.settings.width, self.settings.height

    def __str__(self) -> str:
        return f"{self.model} at {self.hint}"


@dataclass(frozen=True)
class EvaluateRequest:
    """Score each of `ways` on `dataset`.

    `target`: evaluation.json; the csv and md go beside it, and the record of what was scored to
    `.evaluation/` there.  `skip_bad`: leave bad frames out instead of stopping.  `cluster`: the
    address of a Dask scheduler, "local" for processes of this machine, None for this process.
    `seed`: of the bootstrap.  `published`: figures of others to stand beside ours.
    """

    name: str
    dataset: Dataset
    ways: tuple[Way, ...]
    target: Path
    facts: tuple[tuple[str, str], ...] = ()
    skip_bad: bool = False
    cluster: str | None = None
    workers: int | None = None
    seed: int = 2026
    published: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """`content`: of evaluation.json.  `scored`: frames that had to be scored now, of all ways."""

    content: Mapping[str, Any]
    target: Path
    scored: int
