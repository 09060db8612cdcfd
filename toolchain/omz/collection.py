"""Collections of models in the layout of Open Model Zoo, and the choice of models by pattern."""

from __future__ import annotations

import fnmatch
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.reader import read_composite, read_model
from toolchain.catalog.records import CatalogEntry, CompositeModel
from toolchain.catalog.yaml_nodes import error_at
from toolchain.errors import CatalogError, ToolchainError
from toolchain.printable import printable
from toolchain.workspace.plain_file import open_plain_file

LIST_LIMIT = 1 << 20  # bytes of a `--list` file
PATTERN_LIMIT = 1000  # characters; fnmatch needs the square of it for brackets
MODEL, COMPOSITE = "model.yml", "composite-model.yml"
ROOT_VARIABLE = "OMZ_MODELS_ROOT"


@dataclass(frozen=True)
class UnreadableModel:
    """A model of a collection that cannot be used; the others can.

    Attributes:
        name: Its name, that of its folder.
        error: Why it cannot be read.
    """

    name: str
    error: CatalogError


Entry = CatalogEntry | UnreadableModel


def read_collection(root: Path) -> tuple[Entry, ...]:
    """Read all models below `root`, as leniently as Open Model Zoo.

    Returns:
        The models by name: each folder with a model.yml, or with a composite-model.yml above the
        folders of its stages.  Of two models of one name, as below `intel` and `public`, both.

    Raises:
        CatalogError: There is no model, or one without a folder of its own.
    """
    found: list[Entry] = []
    for folder, below, files in os.walk(root):
        below.sort()
        here = Path(folder)
        file = COMPOSITE if COMPOSITE in files else MODEL
        if file not in files:
            continue
        if here == root:  # the model has the name of its folder
            wrong = "is in the top folder of the collection"
            raise error_at(here / file, 1, 1, wrong, f"a folder for each model in {root}")
        if file == COMPOSITE:
            below.clear()
        try:
            found.append(_read_entry(here, files, here.relative_to(root).as_posix()))
        except CatalogError as error:
            found.append(UnreadableModel(here.name, error))
    if not found:
        raise error_at(root, 1, 1, f"no {MODEL} found", "a folder of models")
    return tuple(sorted(found, key=lambda entry: entry.name))


def _read_entry(folder: Path, files: Sequence[str], subdirectory: str) -> CatalogEntry:
    if COMPOSITE not in files:
        return read_model(folder / MODEL, subdirectory=subdirectory, lenient=True)
    path = folder / COMPOSITE
    if MODEL in files:
        raise error_at(path, 1, 1, f"{MODEL} in the same folder", "the stages in folders below")
    if deeper := sorted(folder.glob(f"*/*/**/{MODEL}")):
        raise error_at(deeper[0], 1, 1, f"is too deep below {path}", "it one folder below")
    return read_composite(path, subdirectory, lenient=True)


def select_models(models: Sequence[Entry], patterns: Sequence[str]) -> tuple[Entry, ...]:
    """Select the models whose names match; upper and lower case differ.

    Args:
        models: Models to select from.
        patterns: Patterns with `*`, `?` and `[...]`.  One that does not match a composite model
            may match its stages.

    Returns:
        The models in the order of the patterns, none twice.  Of two with one name the last.

    Raises:
        ToolchainError: A pattern matches no model.
    """
    chosen: dict[str, Entry] = {}
    for pattern in patterns:
        if len(pattern) > PATTERN_LIMIT:
            raise ToolchainError(
                f"a pattern of {len(pattern):,} characters", hint=f"At most {PATTERN_LIMIT:,}."
            )
        matching: list[Entry] = []
        for model in models:
            if fnmatch.fnmatchcase(model.name, pattern):
                matching.append(model)
            elif isinstance(model, CompositeModel):
                matching += [s for s in model.stages if fnmatch.fnmatchcase(s.name, pattern)]
        if not matching:
            raise ToolchainError(
                f'No matching models: "{printable(pattern)}"', hint=_explain_no_match(models)
            )
        chosen.update((model.name, model) for model in matching)
    return tuple(chosen.values())


def _explain_no_match(models: Sequence[Entry]) -> str:
    if len(models) == 1:
        known = f"One model is known: {models[0].name}."
    else:
        known = f"{len(models)} models are known; --print_all lists them."
    return (
        f"{known} --models_root DIR, or the environment variable {ROOT_VARIABLE}, names a "
        "collection in the layout of Open Model Zoo."
    )


def read_patterns(path: Path) -> list[str]:
    """Read the patterns of a `--list` file: the first word of each line.

    Words may be quoted as in a shell; `#` begins a comment.

    Raises:
        CatalogError: The file cannot be read, or a quote is not closed.
    """
    try:
        with open_plain_file(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
            data = stream.read(LIST_LIMIT + 1)
        if len(data) > LIST_LIMIT:
            raise error_at(path, 1, 1, "the file is too long", f"at most {LIST_LIMIT:,} bytes")
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise error_at(path, 1, 1, "not UTF-8", "patterns in UTF-8, one per line") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise error_at(path, 1, 1, f"cannot be read: {reason}", "a file of patterns") from None
    patterns = []
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise error_at(path, number, 1, str(error), "matched quotes") from None
        patterns += words[:1]
    return patterns
