"""Postprocess: what model.yml has done to downloaded files: text replaced, archives unpacked.

It changes files that a digest was published for, so a record beside them tells on the next run
that this was done to the published files and that the results are still what they were.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from toolchain.catalog.records import ModelFile, Postprocessing, RegexReplace
from toolchain.errors import DownloadError
from toolchain.omz.archive import unpack
from toolchain.transfer.digesting import digests_of
from toolchain.workspace.atomic import os_errors, write_bytes
from toolchain.workspace.ledger import Ledger

ENTRY = "postprocess"
ORIGINAL = ".orig"  # the incumbent's name for the file before the first replacement


@dataclass(frozen=True)
class PostprocessRequest:
    """`files`: the published files in `folder` that `steps` are done to, in order."""

    folder: Path
    files: tuple[ModelFile, ...]
    steps: tuple[Postprocessing, ...]


@dataclass(frozen=True)
class PostprocessResult:
    """`files`: those that were changed or unpacked."""

    files: tuple[Path, ...]


def holds(request: PostprocessRequest) -> bool:
    """Whether an earlier run did all this and its results are unchanged.  Touches nothing."""
    return Ledger(request.folder).current(ENTRY, _key(request)) is not None


def restore(request: PostprocessRequest) -> None:
    """Before a download: put verified originals back in the place of changed files."""
    by_name = {file.name: file for file in request.files}
    for name in {step.file for step in request.steps if isinstance(step, RegexReplace)}:
        digest = by_name[name].digest if name in by_name else None
        target = _path(request, name)
        original = _original(target)
        if digest is None or not original.is_file():
            continue
        with os_errors(original, "read"):
            good = digests_of(original, (digest.algorithm,))[digest.algorithm] == digest
            data = original.read_bytes() if good else b""
        if good:
            write_bytes(target, data)


def postprocess(request: PostprocessRequest) -> PostprocessResult:
    """Do the steps to freshly verified files.

    A text file's original stays beside it as `<name>.orig`; an unpacked archive is removed.
    Raises DownloadError for a pattern that is not there or an archive that is not safe,
    WorkspaceError for a full disk and the like.  A run that was killed leaves no record, and
    the next one begins with the originals.
    """
    ledger = Ledger(request.folder)
    ledger.forget(ENTRY)
    made: dict[Path, None] = {}
    archives: list[Path] = []
    for step in request.steps:
        target = _path(request, step.file)
        if isinstance(step, RegexReplace):
            _replace(step, target, first=target not in made or not _original(target).exists())
            made[target] = None
        else:
            made.update(dict.fromkeys(unpack(target, step.format)))
            archives.append(target)
    kept = [path for path in made if path not in archives]
    with os_errors(request.folder, "read"):
        ledger.enter(ENTRY, _key(request), kept, {})
    for archive in archives:
        with os_errors(archive, "remove"):
            archive.unlink(missing_ok=True)
    return PostprocessResult(tuple(kept))


def _replace(step: RegexReplace, target: Path, *, first: bool) -> None:
    try:
        with os_errors(target, "read"):
            # Any line end matches "\n" in a pattern, on every system.
            text = target.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DownloadError(
            f"{target}: expected text in UTF-8, found other bytes: {error}",
            kept="The file was not changed.",
            hint="Correct `postprocessing` in the model.yml.",
        ) from error
    changed, count = re.subn(step.pattern, step.replacement, text, count=step.count)
    if count == 0 or (step.count and count != step.count):
        expected = f"{step.count} times" if step.count else "at least once"
        raise DownloadError(
            f"{target}: expected the pattern {step.pattern!r} {expected}, found it {count} times",
            kept="The file was not changed.",
            hint="Correct `postprocessing` in the model.yml.",
        )
    if first:
        with os_errors(target, "read"):
            data = target.read_bytes()
        write_bytes(_original(target), data)
    write_bytes(target, changed.encode())


def _key(request: PostprocessRequest) -> str:
    facts = {
        "files": [(file.name, str(file.digest)) for file in request.files],
        "steps": [(type(step).__name__, asdict(step)) for step in request.steps],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _path(request: PostprocessRequest, name: str) -> Path:
    return request.folder.joinpath(*name.split("/"))


def _original(path: Path) -> Path:
    return path.with_name(path.name + ORIGINAL)
