"""The typed, frozen form of a model.yml.  No I/O and no heavy import here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolchain.definitions.variants import Hint

Framework = Literal["dldt", "onnx", "pytorch", "tf"]
DigestAlgorithm = Literal["sha256", "sha384"]
DIGEST_LENGTHS: dict[DigestAlgorithm, int] = {"sha256": 64, "sha384": 96}


@dataclass(frozen=True)
class HttpSource:
    """`source: https://...` or `{$type: http, url: ...}`."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class GoogleDriveSource:
    """`{$type: google_drive, id: ...}`."""

    id: str

    def __str__(self) -> str:
        return f"Google Drive id {self.id}"


@dataclass(frozen=True)
class FileSource:
    """`source: file:///...` or `{$type: file, path: ...}`; a relative path is model.yml's own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class PackageSource:
    """`{$type: package, path: ...}`: a file that ships inside `toolchain/data`."""

    path: str

    def __str__(self) -> str:
        return f"package data {self.path}"


Source = HttpSource | GoogleDriveSource | FileSource | PackageSource


@dataclass(frozen=True)
class Digest:
    """A digest as lower-case hexadecimal digits, with the name of its algorithm."""

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
    """One file to fetch.

    `name`: relative, with `/`, never leaving its folder.  `size`: bytes, None if not published.
    `digest`: None if none was published; such a file is pinned on first use.
    `sources`: tried in order, never empty.
    """

    name: str
    size: int | None
    digest: Digest | None
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class RegexReplace:
    """Postprocessing: replace `pattern` by `replacement` in `file`, `count` times (0 = all)."""

    file: str
    pattern: str
    replacement: str
    count: int = 0


@dataclass(frozen=True)
class UnpackArchive:
    """Postprocessing: unpack `file` of `format` (as `shutil.unpack_archive` names it) beside it."""

    file: str
    format: str


Postprocessing = RegexReplace | UnpackArchive


@dataclass(frozen=True)
class InputInfo:
    """One network input: name, shape (empty if not given), layout ("" if not given)."""

    name: str
    shape: tuple[int, ...] = ()
    layout: str = ""


@dataclass(frozen=True)
class Limits:
    """What one way of running may differ from the original by.  None: not limited.

    The numeric ones hold for pixels outside differently chosen patches, values 0..1.  `*_worse`:
    metric against the known truth minus the original's, on the published scale (x1000; GRAD
    /1000), the mean over the frames.  `alpha_grad_worse_share`: of the original's own GRAD.
    `different_patches`: share of all 4x4 patches.
    `layers_max_rel`: on every inner tensor, relative to its largest value; only `--layers` asks.
    """

    pha_max_abs: float | None = None
    fgr_max_abs: float | None = None
    pha_mean_abs: float | None = None
    fgr_mean_abs: float | None = None
    alpha_mad_worse: float | None = None
    alpha_mse_worse: float | None = None
    alpha_grad_worse: float | None = None
    alpha_grad_worse_share: float | None = None
    foreground_mse_worse: float | None = None
    different_patches: float | None = None
    layers_max_rel: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Tolerance:
    """Limits for a form of the model ("ONNX", "FP32", "FP16", "FP16-INT8") at a precision hint.

    `hint`: "f32" or "default" (whatever the device takes when nobody says otherwise).
    """

    form: str
    hint: Hint
    limits: Limits


@dataclass(frozen=True)
class Model:
    """One model.yml.

    `subdirectory`: where results lie under an output folder, with `/`: "public/<name>".
    `bundled`: the file of the demonstration weights that ship with the toolchain.
    `cross_check`: published files that prove the checkpoint's identity; never needed to run.
    `model_info`: text, whole numbers, numbers and booleans, or tuples of one of these kinds.
    `composite_model_name`: set for a stage of a composite model.
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
    tolerances: tuple[Tolerance, ...] = ()
    composite_model_name: str | None = None


@dataclass(frozen=True)
class CompositeModel:
    """One composite-model.yml: models that work only together, in order; never empty."""

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
        """Those of the first stage, as the incumbent has it."""
        return self.stages[0].precisions


CatalogEntry = Model | CompositeModel
