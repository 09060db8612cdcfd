"""Choice of the weights, and the name of the results built from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.names import find_name_fault
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import FileSource, Model, ModelFile
from toolchain.catalog.yaml_nodes import error_at
from toolchain.checkpoints.sources import check_file_size
from toolchain.errors import CheckpointError, UsageError
from toolchain.transfer.probe import probe
from toolchain.workspace.digests import file_digest
from toolchain.workspace.layout import Layout
from toolchain.workspace.plain_file import check_plain_file

Kind = Literal["upstream", "bundled", "custom"]
PROBE_SECONDS = 3.0
DESCRIPTIONS: dict[Kind, str] = {
    "upstream": "the published checkpoint",
    "bundled": "demonstration weights that ship with the toolchain, not the published ones",
    "custom": "a checkpoint given by the user",
}


@dataclass(frozen=True)
class Weights:
    """The weights of a build.

    Attributes:
        kind: Where they come from.
        file: The file for the download stage.
        name: Name of the results; weights of another kind have another name.
        why: Reason for the choice, one sentence.
        key: Name of the mapping in the file to take, "" for the only one.
        alternatives: Files with the same weights, each with a published digest, that are used if
            `file` cannot be obtained.
    """

    kind: Kind
    file: ModelFile
    name: str
    why: str
    key: str = ""
    alternatives: tuple[ModelFile, ...] = ()

    @property
    def description(self) -> str:
        """What these weights are; recorded in every file built from them."""
        return DESCRIPTIONS[self.kind]


def get_layout(model: Model, name: str, output: Path) -> Layout:
    """Return the paths of the results named `name`, beside the model's own subdirectory."""
    parent = model.subdirectory.rpartition("/")[0]
    return Layout(output, f"{parent}/{name}" if parent else name, name)


def choose_weights(
    model: Model, asked: str, output: Path, name: str | None = None, key: str = ""
) -> Weights:
    """Choose the weights of a build.

    Args:
        model: The model.
        asked: "upstream", "bundled", the path of a checkpoint, or "auto": upstream if its
            checkpoint is present or a source answers within a few seconds, else bundled.
        output: Root of the output tree.
        name: Name of the results; only for a checkpoint given by path.
        key: Which of several sets of weights to take; only for a checkpoint given by path.

    Raises:
        UsageError: The name is invalid or belongs to other weights.
        CatalogError: model.yml names no checkpoint.
        CheckpointError: The checkpoint given by path is unreadable.
    """
    if name is not None and asked in ("upstream", "bundled", "auto"):
        raise UsageError(
            f"--name {name}: only weights given by path can be named; {asked} has its own name",
            hint="Remove --name, or use --output for another folder.",
        )
    if key and asked in ("upstream", "bundled", "auto"):
        raise UsageError(
            f"--weights-key: only for weights given by path; {asked} is one set of weights",
            hint="Remove --weights-key.",
        )
    if asked == "upstream":
        return _upstream(model, "asked for")
    if asked == "bundled":
        return _bundled(model, "asked for")
    if asked == "auto":
        return _auto(model, output)
    return _custom(model, Path(asked), name, key)


def _upstream(model: Model, why: str) -> Weights:
    if not model.files:
        raise error_at(model.config_path, 1, 1, "files is empty", "the checkpoint's file")
    return Weights("upstream", model.files[0], model.name, why, alternatives=model.alternatives)


def _bundled(model: Model, why: str) -> Weights:
    # A model.yml without bundled weights gets those of the built-in one.
    file = model.bundled or read_model(builtin_config()).bundled
    if file is None:
        raise UsageError(f"{model.config_path}: has no bundled weights", hint="Use --weights PATH.")
    return Weights("bundled", file, f"{model.name}-bundled", why)


def _auto(model: Model, output: Path) -> Weights:
    upstream = _upstream(model, "its checkpoint is already present")
    folder = get_layout(model, model.name, output).folder
    if any((folder / file.name).exists() for file in (upstream.file, *model.alternatives)):
        return upstream
    answer = probe((upstream.file,), timeout=PROBE_SECONDS)
    if answer.ok:
        return _upstream(model, "upstream can be reached")
    return _bundled(model, f"upstream cannot be reached: {answer.reason}")


def _custom(model: Model, path: Path, name: str | None, key: str) -> Weights:
    chosen = f"{model.name}-custom" if name is None else name
    fault = find_name_fault(chosen)
    # Some file systems do not distinguish upper and lower case.
    if chosen.lower() in (model.name.lower(), f"{model.name}-bundled".lower()):
        fault = "belongs to other weights"
    if not fault and not chosen[0].isalnum():
        fault = f"begins with {chosen[0]}"
    if fault:
        raise UsageError(
            f"--name {chosen}: {fault}; expected another name of letters, digits and . _ -",
            hint=f"For example --name {model.name}-mine.",
        )
    try:
        check_plain_file(path)
        size = path.stat().st_size
        check_file_size(size)
        digest = file_digest(path, "sha384")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror or error}",
            hint="--weights is upstream, bundled, auto or the path of a checkpoint.",
        ) from error
    file = ModelFile(path.name, size, digest, (FileSource(path.absolute()),))
    return Weights("custom", file, chosen, "asked for", key)
