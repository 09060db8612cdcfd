"""Records of the evaluate stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.catalog.export_arguments import ExportSettings
from toolchain.definitions.variants import Variant

if TYPE_CHECKING:
    from toolchain.frames.dataset import Dataset


@dataclass(frozen=True)
class EvaluatedModel:
    """A variant and its file.

    Attributes:
        variant: The variant.
        file: The checkpoint, the ONNX, or the IR's xml.
        settings: Settings of the network.
    """

    variant: Variant
    file: Path
    settings: ExportSettings

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the model consists of."""
        if self.file.suffix == ".xml":
            return self.file, self.file.with_suffix(".bin")
        return (self.file,)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its frames."""
        return self.settings.width, self.settings.height

    def __str__(self) -> str:
        return str(self.variant)


@dataclass(frozen=True)
class EvaluateRequest:
    """Score models on a dataset.

    Attributes:
        name: Name of the results.
        dataset: Frames with ground truth.
        models: The models.
        target: evaluation.json; the csv and md are written to the same folder, and the scores of
            single frames to `.evaluation/` there.
        facts: Pairs that every file of the build records.
        skip_bad: Leave bad frames out instead of stopping.
        cluster: Address of a Dask scheduler, "local" for processes of this machine, None for this
            process.
        workers: Number of processes of a local cluster.
        seed: Seed of the bootstrap.
        published: Published figures, listed with the measured ones.
    """

    name: str
    dataset: Dataset
    models: tuple[EvaluatedModel, ...]
    target: Path
    facts: tuple[tuple[str, str], ...] = ()
    skip_bad: bool = False
    cluster: str | None = None
    workers: int | None = None
    seed: int = 2026
    published: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """Result of the stage.

    Attributes:
        content: Content of evaluation.json.
        target: evaluation.json.
        scored: Number of frames that had to be scored now, over all models.
    """

    content: Mapping[str, Any]
    target: Path
    scored: int
