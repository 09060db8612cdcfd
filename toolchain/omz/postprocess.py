"""Postprocessing of downloaded files as model.yml asks: text replaced, archives unpacked.

It changes files that have a published digest.  A record in the folder shows on the next run that
this was done to the published files, and whether the results are unchanged.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from toolchain.catalog.records import ModelFile, Postprocessing, RegexReplace
from toolchain.errors import DownloadError
from toolchain.omz.archive import unpack
from toolchain.printable import printable
from toolchain.workspace.atomic import os_errors, write_bytes
from toolchain.workspace.digests import file_digest
from toolchain.workspace.ledger import Ledger
from toolchain.workspace.limited_process import LimitExceeded, run_limited

PROCESS = "toolchain.omz.regex_process"
MEMORY_LIMIT = 512 << 20  # bytes of addresses while a pattern is applied
TIME_LIMIT = 30.0  # seconds, likewise
TEXT_LIMIT = 16 << 20  # bytes of a file in which a pattern is replaced
ENTRY = "postprocess"
ORIGINAL = ".orig"  # suffix, in Open Model Zoo, of a text file before the first replacement


@dataclass(frozen=True)
class PostprocessRequest:
    """Steps to do in the folder of one model.

    Attributes:
        folder: Folder of the files.
        files: The published files that the steps change or unpack.
        steps: The steps, in order.
    """

    folder: Path
    files: tuple[ModelFile, ...]
    steps: tuple[Postprocessing, ...]


def is_postprocessed(request: PostprocessRequest) -> bool:
    """Whether an earlier run did all steps and the results are unchanged.  Changes nothing."""
    return Ledger(request.folder).current(ENTRY, _key(request)) is not None


def restore_originals(request: PostprocessRequest) -> None:
    """Replace changed text files by their originals, if those still have the published digest."""
    by_name = {file.name: file for file in request.files}
    for name in {step.file for step in request.steps if isinstance(step, RegexReplace)}:
        digest = by_name[name].digest if name in by_name else None
        target = _path(request, name)
        original = _original(target)
        if digest is None or not original.is_file():
            continue
        with os_errors(original, "read"):
            is_published = file_digest(original, digest.algorithm) == digest
            data = original.read_bytes() if is_published else b""
        if is_published:
            write_bytes(target, data)


def postprocess(request: PostprocessRequest) -> None:
    """Do the steps to freshly verified files.

    The original of a text file is kept as `<name>.orig`; an unpacked archive is removed.  A run
    that is killed leaves no record, so the next one begins with the originals.

    Raises:
        DownloadError: A pattern is not found, or an archive is not safe to unpack.
        WorkspaceError: A file cannot be read or written.
    """
    ledger = Ledger(request.folder)
    ledger.forget(ENTRY)
    results: dict[Path, None] = {}
    archives: list[Path] = []
    for step in request.steps:
        target = _path(request, step.file)
        if isinstance(step, RegexReplace):
            _replace(step, target, first=target not in results or not _original(target).exists())
            results[target] = None
        else:
            results.update(dict.fromkeys(unpack(target, step.format)))
            archives.append(target)
    with os_errors(request.folder, "read"):
        kept = [path for path in results if path not in archives]
        ledger.enter(ENTRY, _key(request), kept, {})
    for archive in archives:
        with os_errors(archive, "remove"):
            archive.unlink(missing_ok=True)


def _replace(step: RegexReplace, target: Path, *, first: bool) -> None:
    try:
        with os_errors(target, "read"):
            # Any line end matches "\n" in a pattern, on every system.
            size = target.stat().st_size
            if size > TEXT_LIMIT:
                raise _fault(f"{target}: {size:,} bytes; the limit of a text is {TEXT_LIMIT:,}")
            text = target.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _fault(f"{target}: expected text in UTF-8, found other bytes: {error}") from error
    changed, count = _substitute(step, target, text)
    if count == 0 or (step.count and count != step.count):
        expected = f"{step.count} times" if step.count else "at least once"
        raise _fault(
            f"{target}: expected the pattern {printable(step.pattern)!r} {expected}, found "
            f"it {count} times"
        )
    if first:
        with os_errors(target, "read"):
            data = target.read_bytes()
        write_bytes(_original(target), data)
    write_bytes(target, changed.encode())


def _substitute(step: RegexReplace, target: Path, text: str) -> tuple[str, int]:
    work = {**asdict(step), "text": text}
    try:
        changed, count = run_limited(PROCESS, work, memory=MEMORY_LIMIT, seconds=TIME_LIMIT)
    except LimitExceeded as limit:
        pattern = printable(step.pattern)
        raise _fault(f"{target}: the pattern {pattern!r} cannot be applied: {limit}") from limit
    return str(changed), int(count)


def _fault(message: str) -> DownloadError:
    return DownloadError(
        message,
        kept="The file was not changed.",
        hint="Correct `postprocessing` in the model.yml.",
    )


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
