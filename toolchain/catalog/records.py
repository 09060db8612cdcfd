"""Frozen records of a model.yml; no I/O and no heavy imports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolchain.definitions.variants import Variant

Framework = Literal["dldt", "onnx", "pytorch", "tf"]
DigestAlgorithm = Literal["sha256", "sha384"]
DIGEST_LENGTHS: dict[DigestAlgorithm, int] = {"sha256": 64, "sha384": 96}


@dataclass(frozen=True)
class HttpSource:
    """A file on a web server: `source: https://...` or `{$type: http, url: ...}`."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class GoogleDriveSource:
    """A file on Google Drive: `{$type: google_drive, id: ...}`."""

    id: str

    def __str__(self) -> str:
        return f"Google Drive id {self.id}"


@dataclass(frozen=True)
class FileSource:
    """A local file: `source: file:///...` or `{$type: file, path: ...}`.

    Attributes:
        path: Its path; relative paths in model.yml are relative to its folder.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class PackageSource:
    """A file in `toolchain/data`, by its path there: `{$type: package, path: ...}`."""

    path: str

    def __str__(self) -> str:
        return f"package data {self.path}"


Source = HttpSource | GoogleDriveSource | FileSource | PackageSource


@dataclass(frozen=True)
class Digest:
    """A digest.

    Attributes:
        algorithm: Name of the algorithm.
        value: Lower-case hexadecimal digits.
    """

    algorithm: DigestAlgorithm
    value: str

    def __post_init__(self) -> None:
        length = DIGEST_LENGTHS[self.algorithm]
        if not re.fullmatch(f"[0-9a-f]{{{length}}}", self.value):
            raise ValueError(f"a {self.algorithm} digest has {length} hexadecimal digits")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True)
class ModelFile:
    """One file to download.

    Attributes:
        name: Relative path with `/` that stays in its folder.
        size: Size in bytes, None if not published.
        digest: Its digest, None if not published; then it is recorded on first use.
        sources: Sources, tried in order; never empty.
    """

    name: str
    size: int | None
    digest: Digest | None
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class RegexReplace:
    """Postprocessing: replace a regular expression in a file.

    Attributes:
        file: Relative path of the file.
        pattern: The regular expression.
        replacement: Template of the replacement.
        count: Number of replacements, 0 for all.
    """

    file: str
    pattern: str
    replacement: str
    count: int = 0


@dataclass(frozen=True)
class UnpackArchive:
    """Postprocessing: unpack an archive into its folder.

    Attributes:
        file: Relative path of the archive.
        format: Its format, by the name of `shutil.unpack_archive`.
    """

    file: str
    format: str


Postprocessing = RegexReplace | UnpackArchive


@dataclass(frozen=True)
class InputInfo:
    """One input of the network.

    Attributes:
        name: Its name.
        shape: Its shape as written, empty if not given.  Models of others may have sizes such as
            -1, "?" or "1..4".
        layout: Its layout, "" if not given.
    """

    name: str
    shape: tuple[object, ...] = ()
    layout: str = ""

    @property
    def fixed_shape(self) -> tuple[int, ...]:
        """Its shape if all sizes are fixed, else empty."""
        sizes = tuple(size for size in self.shape if isinstance(size, int) and size > 0)
        return sizes if len(sizes) == len(self.shape) else ()


@dataclass(frozen=True)
class Limit:
    """Bound on one figure: the larger of an absolute value and a multiple of the figure's base.

    Attributes:
        absolute: Bound whatever the base is.
        relative: Multiple of the base, see `definitions.metrics.Figure.base`.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def bound(self, base: float | None) -> float:
        """Largest permitted value of the figure, given its base (None: not measured)."""
        return max(self.absolute, self.relative * (base or 0.0))


@dataclass(frozen=True)
class Limits:
    """What one variant may differ from the original by.

    Attributes:
        by_figure: Limit by the figure's key, see `definitions.metrics.FIGURES`.  A figure that is
            not in it is not limited.
        reason: Why these are the limits.
    """

    by_figure: Mapping[str, Limit] = field(default_factory=dict)
    reason: str = ""

    def only(self, keys: Iterable[str]) -> Limits:
        """The same limits, restricted to the figures in `keys`."""
        wanted = set(keys)
        kept = {key: limit for key, limit in self.by_figure.items() if key in wanted}
        return Limits(kept, self.reason)


@dataclass(frozen=True)
class Tolerance:
    """Limits of one variant.

    Attributes:
        variant: Form and precision hint; the limits hold on every device.
        limits: The limits.
    """

    variant: Variant
    limits: Limits


def limits_for(tolerances: Iterable[Tolerance], variant: Variant) -> Limits | None:
    """Limits of `variant`, None if `tolerances` has none."""
    found = (item.limits for item in tolerances if item.variant == variant.anywhere)
    return next(found, None)


@dataclass(frozen=True)
class Model:
    """One model.yml.

    Attributes:
        name: Name of the model.
        subdirectory: Folder of its results in an output tree, with `/`: "public/<name>".
        config_path: The model.yml.
        description: What the model does.
        task_type: One of Open Model Zoo's task types.
        framework: Framework of the published model.
        license_url: Address of the licence.
        files: The published files.
        postprocessing: Steps after the download.
        input_info: Inputs of the network.
        conversion_to_onnx_args: Arguments of the export to ONNX, None if there are none.
        model_optimizer_args: Arguments of the conversion to IR, None if it is published as IR.
        model_info: Facts for the IR: text, integers, numbers and booleans, or tuples of one kind.
        precisions: Precisions that are published or can be converted.
        bundled: File of the demonstration weights that ship with the toolchain.
        cross_check: Published files that verify the checkpoint; not needed to build.
        alternatives: Files with the same weights as the first of `files`, each with a digest.
        tolerances: Limits of the validation.
        composite_model_name: Name of the composite model of which it is a stage.
    """

    name: str
    subdirectory: str
    config_path: Path
    description: str
    task_type: str
    framework: Framework
    license_url: str
    files: tuple[ModelFile, ...]
    postprocessing: tuple[Postprocessing, ...] = ()
    input_info: tuple[InputInfo, ...] = ()
    conversion_to_onnx_args: tuple[str, ...] | None = None
    model_optimizer_args: tuple[str, ...] | None = None
    model_info: tuple[tuple[str, object], ...] = ()
    precisions: frozenset[str] = field(default_factory=frozenset)
    bundled: ModelFile | None = None
    cross_check: tuple[ModelFile, ...] = ()
    alternatives: tuple[ModelFile, ...] = ()
    tolerances: tuple[Tolerance, ...] = ()
    composite_model_name: str | None = None


@dataclass(frozen=True)
class CompositeModel:
    """One composite-model.yml: models that are used together.

    Attributes:
        name: Name of the model.
        subdirectory: Folder of its results in an output tree.
        config_path: The composite-model.yml.
        description: What the model does.
        task_type: One of Open Model Zoo's task types.
        framework: Framework of the published model.
        license_url: Address of the licence.
        stages: The models, in order; never empty.
    """

    name: str
    subdirectory: str
    config_path: Path
    description: str
    task_type: str
    framework: Framework
    license_url: str
    stages: tuple[Model, ...]

    @property
    def precisions(self) -> frozenset[str]:
        """Precisions of the first stage, as in Open Model Zoo."""
        return self.stages[0].precisions


CatalogEntry = Model | CompositeModel
