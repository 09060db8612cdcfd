"""Which weights a run uses and what its results are called, so that they are never confused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.names import fault_of_model_name
from toolchain.catalog.positions import complaint
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import FileSource, Model, ModelFile
from toolchain.errors import CheckpointError, UsageError
from toolchain.transfer.probe import probe
from toolchain.workspace.digests import file_digest
from toolchain.workspace.layout import Layout

Kind = Literal["upstream", "bundled", "custom"]
PROBE_SECONDS = 3.0
DESCRIPTIONS: dict[Kind, str] = {
    "upstream": "the published checkpoint",
    "bundled": "demonstration weights that ship with the toolchain, not the published ones",
    "custom": "a checkpoint given by the user",
}


@dataclass(frozen=True)
class Weights:
    """`file`: what the download stage fetches.  `name`: the results' name.  `why`: one sentence."""

    kind: Kind
    file: ModelFile
    name: str
    why: str

    @property
    def description(self) -> str:
        """What these weights are; it stands in every file made from them."""
        return DESCRIPTIONS[self.kind]


def layout_of(model: Model, name: str, output: Path) -> Layout:
    """Where the results called `name` lie: beside the model's own subdirectory."""
    parent = model.subdirectory.rpartition("/")[0]
    return Layout(output, f"{parent}/{name}" if parent else name, name)


def choose(model: Model, asked: str, output: Path, name: str | None = None) -> Weights:
    """Decide for "upstream", "bundled", "auto" or a path.

    "auto" takes upstream if its checkpoint is already there or a source answers within a few
    seconds, else the bundled weights; `why` tells the reason.  Raises UsageError for a name that
    would confuse weights, CatalogError where model.yml names no checkpoint, CheckpointError for a
    path that can't be read.
    """
    if name is not None and asked in ("upstream", "bundled", "auto"):
        raise UsageError(
            f"--name {name}: only weights given by path can be named; {asked} has its own name",
            hint="Leave --name out, or move the results with --output.",
        )
    if asked == "upstream":
        return _upstream(model, "asked for")
    if asked == "bundled":
        return _bundled(model, "asked for")
    if asked == "auto":
        return _auto(model, output)
    return _custom(model, Path(asked), name)


def _upstream(model: Model, why: str) -> Weights:
    if not model.files:
        raise complaint(model.config_path, 1, 1, "files is empty", "the checkpoint's file")
    return Weights("upstream", model.files[0], model.name, why)


def _bundled(model: Model, why: str) -> Weights:
    # They ship with the toolchain, whatever model.yml is in use.
    file = model.bundled or read_model(builtin_config()).bundled
    if file is None:
        raise UsageError(
            f"{model.config_path}: names no bundled weights", hint="Use --weights PATH."
        )
    return Weights("bundled", file, f"{model.name}-bundled", why)


def _auto(model: Model, output: Path) -> Weights:
    upstream = _upstream(model, "its checkpoint is already here")
    if (layout_of(model, model.name, output).folder / upstream.file.name).exists():
        return upstream
    answer = probe((upstream.file,), timeout=PROBE_SECONDS)
    if answer.ok:
        return _upstream(model, "upstream can be reached")
    return _bundled(model, f"upstream can't be reached: {answer.reason}")


def _custom(model: Model, path: Path, name: str | None) -> Weights:
    chosen = f"{model.name}-custom" if name is None else name
    fault = fault_of_model_name(chosen)
    # Some file systems do not tell upper case from lower.
    if chosen.lower() in (model.name.lower(), f"{model.name}-bundled".lower()):
        fault = "stands for other weights"
    if not fault and not chosen[0].isalnum():
        fault = f"begins with {chosen[0]}"
    if fault:
        raise UsageError(
            f"--name {chosen}: {fault}; expected a name of its own of letters, digits and . _ -",
            hint=f"For example --name {model.name}-mine.",
        )
    try:
        digest, size = file_digest(path, "sha384"), path.stat().st_size
    except OSError as error:
        raise CheckpointError(
            f"{path}: can't be read: {error.strerror or error}",
            hint="--weights takes upstream, bundled, auto or the path of a checkpoint.",
        ) from error
    file = ModelFile(path.name, size, digest, (FileSource(path.absolute()),))
    return Weights("custom", file, chosen, "asked for")
