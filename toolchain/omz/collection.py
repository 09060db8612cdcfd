"""Collections of models in the layout of Open Model Zoo, and the choice of models by pattern."""

from __future__ import annotations

import fnmatch
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.reader import read_composite, read_model
from toolchain.catalog.records import CatalogEntry, CompositeModel
from toolchain.catalog.yaml_nodes import error_at
from toolchain.errors import ToolchainError
from toolchain.printable import printable
from toolchain.workspace.plain_file import open_plain_file

LIST_LIMIT = 1 << 20  # bytes of a `--list` file
PATTERN_LIMIT = 1000  # characters; fnmatch needs the square of it for brackets
MODEL, COMPOSITE = "model.yml", "composite-model.yml"


def read_collection(root: Path) -> tuple[CatalogEntry, ...]:
    """Read all models below `root`.

    Returns:
        The models by name: each folder with a model.yml, or with a composite-model.yml above the
        folders of its stages.

    Raises:
        CatalogError: A file is invalid or misplaced, a name occurs twice, or there is no model.
    """
    found: dict[str, CatalogEntry] = {}
    stages: set[str] = set()
    for folder, below, files in os.walk(root):
        below.sort()
        here = Path(folder)
        file = COMPOSITE if COMPOSITE in files else MODEL
        if file not in files:
            continue
        if here == root:  # the model has the name of its folder
            wrong = "is in the top folder of the collection"
            raise error_at(here / file, 1, 1, wrong, f"a folder for each model in {root}")
        subdirectory = here.relative_to(root).as_posix()
        if file == COMPOSITE:
            _check_stages(here, files)
            below.clear()
            composite = read_composite(here / file, subdirectory)
            stages |= {stage.name for stage in composite.stages}
            entries: tuple[CatalogEntry, ...] = (composite, *composite.stages)
        else:
            entries = (read_model(here / file, subdirectory=subdirectory),)
        for entry in entries:
            if entry.name in found:
                wrong = f"duplicate model {entry.name}, also in {found[entry.name].config_path}"
                raise error_at(entry.config_path, 1, 1, wrong, "each name once")
            found[entry.name] = entry
    if not found:
        raise error_at(root, 1, 1, f"no {MODEL} found", "a folder of models")
    return tuple(found[name] for name in sorted(found) if name not in stages)


def _check_stages(folder: Path, files: Sequence[str]) -> None:
    path = folder / COMPOSITE
    if MODEL in files:
        raise error_at(path, 1, 1, f"{MODEL} in the same folder", "the stages in folders below")
    if deeper := sorted(folder.glob(f"*/*/**/{MODEL}")):
        raise error_at(deeper[0], 1, 1, f"is too deep below {path}", "it one folder below")


def select_models(
    models: Sequence[CatalogEntry], patterns: Sequence[str]
) -> tuple[CatalogEntry, ...]:
    """Select the models whose names match; upper and lower case differ.

    Args:
        models: Models to select from.
        patterns: Patterns with `*`, `?` and `[...]`.  One that does not match a composite model
            may match its stages.

    Returns:
        The models in the order of the patterns, none twice.

    Raises:
        ToolchainError: A pattern matches no model.
    """
    chosen: dict[str, CatalogEntry] = {}
    for pattern in patterns:
        if len(pattern) > PATTERN_LIMIT:
            raise ToolchainError(
                f"a pattern of {len(pattern):,} characters", hint=f"At most {PATTERN_LIMIT:,}."
            )
        matching: list[CatalogEntry] = []
        for model in models:
            if fnmatch.fnmatchcase(model.name, pattern):
                matching.append(model)
            elif isinstance(model, CompositeModel):
                matching += [s for s in model.stages if fnmatch.fnmatchcase(s.name, pattern)]
        if not matching:
            raise ToolchainError(f'No matching models: "{printable(pattern)}"')
        chosen.update((model.name, model) for model in matching)
    return tuple(chosen.values())


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
