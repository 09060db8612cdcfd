"""Download files: from the cache or from the first source that provides the expected content."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from toolchain.catalog.records import DigestAlgorithm, ModelFile, Source
from toolchain.errors import BusyError, IntegrityError, SourceError
from toolchain.progress import Listener, SilentListener
from toolchain.stages.download.request import (
    DownloadRequest,
    DownloadResult,
    FetchedFile,
    PlannedFile,
    Status,
    Verified,
)
from toolchain.transfer import cache
from toolchain.transfer.http import Cancelled
from toolchain.transfer.partial import Partial
from toolchain.transfer.sources import WrongDigestError, fetch_verified, no_source_succeeded
from toolchain.transfer.transport import display_name
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.digests import Digests, file_digests
from toolchain.workspace.locking import lock
from toolchain.workspace.pins import pin_mismatch, unverified_path

IDENTIFYING: DigestAlgorithm = "sha384"  # identifies files in the cache and among the pins


def plan(request: DownloadRequest) -> tuple[PlannedFile, ...]:
    """Determine what `download` would do, without network access or any change."""
    return tuple(_plan(request, _Wanted.build(request, file)) for file in request.files)


def download(request: DownloadRequest, listener: Listener | None = None) -> DownloadResult:
    """Place every file in the folder, verified.

    A valid file is never lost; an invalid one is replaced only by a valid one.

    Args:
        request: The files.
        listener: Receives the progress.

    Raises:
        DownloadError: No source provided a file; the message has every source's reason.
        IntegrityError: A file differs from the recorded digest.
        WorkspaceError: A file cannot be written, or another process holds its lock.
    """
    listener = listener or SilentListener()
    cancelled = threading.Event()
    wanted = [_Wanted.build(request, file) for file in request.files]

    def run(item: _Wanted) -> FetchedFile:
        return _download_one(request, item, listener, cancelled)

    if request.jobs == 1 or len(wanted) == 1:
        return DownloadResult(tuple(map(run, wanted)))
    with ThreadPoolExecutor(request.jobs, "download") as pool:
        running = [pool.submit(run, item) for item in wanted]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            if any(not one.done() or one.exception() for one in running):
                cancelled.set()  # the others are of no use without the one that failed
                pool.shutdown(wait=True, cancel_futures=True)
    failed = [one.exception() for one in running if not one.cancelled()]
    for error in failed:
        if error is not None and not isinstance(error, Cancelled):
            raise error
    return DownloadResult(tuple(one.result() for one in running))


@dataclass(frozen=True)
class _Wanted:
    """A file with its target, and with the recorded digest if none is published."""

    file: ModelFile
    target: Path
    verified_by: Verified

    @classmethod
    def build(cls, request: DownloadRequest, file: ModelFile) -> _Wanted:
        target = request.folder.joinpath(*file.name.split("/"))
        if file.digest is not None:
            return cls(file, target, "published")
        pin = dict(request.pins).get(file.name)
        if pin is not None:
            return cls(replace(file, digest=pin), target, "pinned")
        return cls(file, target, "nothing")

    def build_result(
        self, path: Path, size: int, digests: Digests, status: Status, source: str
    ) -> FetchedFile:
        return FetchedFile(
            self.file.name, path, size, digests[IDENTIFYING], source, status, self.verified_by
        )


def _plan(request: DownloadRequest, wanted: _Wanted) -> PlannedFile:
    name, target = wanted.file.name, wanted.target
    try:
        found, fault = _check_existing(request, wanted)
    except IntegrityError as error:
        return PlannedFile(name, "refuse", error.message)
    if found is not None:
        if wanted.verified_by == "nothing":
            return PlannedFile(name, "check", f"{target} exists, not verified yet")
        return PlannedFile(name, "keep", f"{target} matches its {wanted.verified_by} digest")
    first = display_name(wanted.file.sources[0]) if wanted.file.sources else "no source"
    if request.cache_dir is not None:
        entry = cache.entry_path(request.cache_dir, wanted.file.digest)
        first = str(entry) if entry is not None and entry.is_file() else first
    if fault:
        return PlannedFile(name, "replace", f"from {first}: {fault}")
    return PlannedFile(name, "fetch", f"{target} from {first}")


def _check_existing(request: DownloadRequest, wanted: _Wanted) -> tuple[FetchedFile | None, str]:
    """Return the target if it is valid, else None and what is wrong with it ("" if missing).

    Raises IntegrityError if it is not the recorded file.
    """
    file, target = wanted.file, wanted.target
    if not target.exists():
        return None, ""
    with os_errors(target, "read"):
        size = target.stat().st_size
        if file.size is not None and size != file.size:
            return None, f"{target}: expected {file.size:,} bytes, found {size:,}"
        digests = _compute_digests(wanted)
    if file.digest is None or digests[file.digest.algorithm] == file.digest:
        return wanted.build_result(target, size, digests, "present", "already in the folder"), ""
    if wanted.verified_by == "pinned":
        raise pin_mismatch(request.folder, file.name, file.digest, digests[IDENTIFYING])
    algorithm = file.digest.algorithm
    return None, (
        f"{target}: expected {algorithm} {file.digest.value}, found {digests[algorithm].value}"
    )


def _download_one(
    request: DownloadRequest, wanted: _Wanted, listener: Listener, cancelled: threading.Event
) -> FetchedFile:
    found, _ = _check_existing(request, wanted)
    if found is not None:
        return found  # without a lock: targets change atomically
    try:
        with lock(wanted.target, 0.0):
            return _fetch(request, wanted, listener, cancelled)
    except BusyError:
        listener.note(f"{wanted.target}: waiting for another process that downloads it")
    with lock(wanted.target, request.lock_wait):
        return _fetch(request, wanted, listener, cancelled)


def _fetch(
    request: DownloadRequest, wanted: _Wanted, listener: Listener, cancelled: threading.Event
) -> FetchedFile:
    """Requires the target's lock."""
    found, fault = _check_existing(request, wanted)
    if found is not None:
        return found
    file, target = wanted.file, wanted.target
    if request.cache_dir is not None and cache.load(request.cache_dir, file.digest, target):
        listener.note(f"{file.name}: copied from the cache")
        digests = _compute_digests(wanted)
        return wanted.build_result(target, target.stat().st_size, digests, "cached", "the cache")
    failures: list[tuple[Source, SourceError]] = []
    for source in file.sources:
        try:
            return _fetch_from(source, request, wanted, listener, cancelled)
        except SourceError as error:  # noqa: PERF203 - a few sources, each with its reason
            failures.append((source, error))
            if len(failures) < len(file.sources):
                listener.note(
                    f"{file.name}: {display_name(source)}: {error.message}; trying the next one"
                )
    for _, failure in failures:
        if wanted.verified_by == "pinned" and isinstance(failure, WrongDigestError):
            raise pin_mismatch(request.folder, file.name, failure.expected, failure.found)
    raise no_source_succeeded(file, target, failures, fault, request.alternative)


def _fetch_from(
    source: Source,
    request: DownloadRequest,
    wanted: _Wanted,
    listener: Listener,
    cancelled: threading.Event,
) -> FetchedFile:
    file, target = wanted.file, wanted.target
    transport = replace(request.transport, attempts=request.attempts)
    final = unverified_path(target) if wanted.verified_by == "nothing" else target
    with (
        listener.task(f"download {file.name}", file.size, "B") as task,
        Partial(target, _algorithms(file)) as partial,
    ):
        digests = fetch_verified(source, file, partial, transport, task, cancelled)
        size = partial.size
        partial.finish(final)
    if request.cache_dir is not None and file.digest is not None:
        trouble = cache.store(request.cache_dir, digests[IDENTIFYING], target)
        if trouble:
            listener.note(f"{file.name}: not stored in the cache: {trouble}")
    return wanted.build_result(final, size, digests, "fetched", display_name(source))


def _algorithms(file: ModelFile) -> tuple[DigestAlgorithm, ...]:
    """Return sha384, and the algorithm of the published digest if it is another one."""
    if file.digest is None or file.digest.algorithm == IDENTIFYING:
        return (IDENTIFYING,)
    return (IDENTIFYING, file.digest.algorithm)


def _compute_digests(wanted: _Wanted) -> Digests:
    return file_digests(wanted.target, _algorithms(wanted.file))
