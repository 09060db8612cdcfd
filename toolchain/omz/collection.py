"""Which models there are, and which of them were asked for."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.positions import complaint
from toolchain.catalog.reader import read_composite, read_model
from toolchain.catalog.records import CatalogEntry, CompositeModel
from toolchain.errors import ToolchainError, UsageError

MODEL, COMPOSITE = "model.yml", "composite-model.yml"


def load(config: Path | None = None, models_root: Path | None = None) -> tuple[CatalogEntry, ...]:
    """The model of `config`, or all below `models_root` in order of name, or the built-in one.

    Raises CatalogError for a mistake in any file, UsageError if both places are given.
    """
    if config is not None and models_root is not None:
        raise UsageError("at most one of --config and --models_root can be specified")
    if models_root is None:
        return (read_model(config or builtin_config()),)
    return _tree(models_root)


def select(models: Sequence[CatalogEntry], patterns: Sequence[str]) -> tuple[CatalogEntry, ...]:
    """The models that match, in the order of the patterns, none twice.

    A pattern is matched with case; one that does not match a composite model may match its
    stages.  Raises ToolchainError for a pattern that matches nothing.
    """
    chosen: dict[str, CatalogEntry] = {}
    for pattern in patterns:
        matching: list[CatalogEntry] = []
        for model in models:
            if fnmatch.fnmatchcase(model.name, pattern):
                matching.append(model)
            elif isinstance(model, CompositeModel):
                matching += [s for s in model.stages if fnmatch.fnmatchcase(s.name, pattern)]
        if not matching:
            raise ToolchainError(f'No matching models: "{pattern}"')
        chosen.update((model.name, model) for model in matching)
    return tuple(chosen.values())


def _tree(root: Path) -> tuple[CatalogEntry, ...]:
    """Folders with a model.yml or, above those of its stages, a composite-model.yml."""
    found: dict[str, CatalogEntry] = {}
    for folder, below, files in os.walk(root):
        below.sort()
        here = Path(folder)
        if COMPOSITE not in files and MODEL not in files:
            continue
        # A file at the very top has no folder of its own to be named by.
        subdirectory = here.relative_to(root).as_posix()
        if subdirectory == ".":
            path = here / (COMPOSITE if COMPOSITE in files else MODEL)
            raise complaint(path, 1, 1, "lies at the top", f"each model in a folder of {root}")
        if COMPOSITE in files:
            _check_stages(here, files)
            below.clear()
            entry: CatalogEntry = read_composite(here / COMPOSITE, subdirectory)
        else:
            entry = read_model(here / MODEL, subdirectory=subdirectory)
        for named in (entry, *(entry.stages if isinstance(entry, CompositeModel) else ())):
            if named.name in found:
                first = found[named.name].config_path
                wrong = f"a second model {named.name}, after {first}"
                raise complaint(named.config_path, 1, 1, wrong, "each name once")
            found[named.name] = named
    if not found:
        raise complaint(root, 1, 1, f"holds no {MODEL}", "a folder of models")
    stages = {
        stage.name for e in found.values() if isinstance(e, CompositeModel) for stage in e.stages
    }
    return tuple(found[name] for name in sorted(found) if name not in stages)


def _check_stages(folder: Path, files: Sequence[str]) -> None:
    path = folder / COMPOSITE
    if MODEL in files:
        raise complaint(path, 1, 1, f"a {MODEL} lies beside it", "the stages in folders below")
    if deeper := sorted(folder.glob(f"*/*/**/{MODEL}")):
        raise complaint(deeper[0], 1, 1, f"lies too deep below {path}", "it one folder below")
