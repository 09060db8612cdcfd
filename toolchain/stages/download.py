"""Download: have files in a folder, each verified against its published or recorded digest."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from toolchain.catalog.records import Digest, ModelFile, Source
from toolchain.errors import IntegrityError, SourceError, WorkspaceError
from toolchain.progress import Listener, SilentListener
from toolchain.transfer import cache
from toolchain.transfer.digesting import ALWAYS, Digests, algorithms_for, digests_of
from toolchain.transfer.failure import nobody_gave
from toolchain.transfer.http import Cancelled
from toolchain.transfer.partial import Partial
from toolchain.transfer.sources import WrongDigestError, fetch_verified
from toolchain.transfer.transport import Transport, shown
from toolchain.workspace.atomic import os_errors
from toolchain.workspace.locking import DEFAULT_WAIT, lock
from toolchain.workspace.pins import pin_mismatch, unverified_path

Status = Literal["fetched", "present", "cached"]
Verified = Literal["published", "pinned", "nothing"]
Action = Literal["keep", "check", "fetch", "replace", "refuse"]


@dataclass(frozen=True)
class DownloadRequest:
    """Have `files` in `folder`.

    `pins`: recorded sha384 of files without a published digest.  `attempts`: requests per
    source.  `jobs`: files at a time.  A file without sources is only verified, or taken from the
    cache.  `otherwise`: a sentence for the error when no source gives a file: what else can be
    done.  `lock_wait`: seconds to wait for another process that works on the same file.
    """

    files: tuple[ModelFile, ...]
    folder: Path
    pins: tuple[tuple[str, Digest], ...] = ()
    cache_dir: Path | None = None
    attempts: int = 4
    jobs: int = 1
    otherwise: str = ""
    transport: Transport = field(default_factory=Transport)
    lock_wait: float = DEFAULT_WAIT


@dataclass(frozen=True)
class FetchedFile:
    """One file that is there.

    `path`: the target, or `<name>.unverified` beside it for a file that was fetched and that
    nothing could verify.  `size`: bytes.  `digest`: its sha384.  `source`: where it was taken
    from.  `verified_by`: what the digest was held against.
    """

    name: str
    path: Path
    size: int
    digest: Digest
    source: str
    status: Status
    verified_by: Verified


@dataclass(frozen=True)
class DownloadResult:
    """The files in the order of the request."""

    files: tuple[FetchedFile, ...]


@dataclass(frozen=True)
class PlannedFile:
    """What `download` would do with a file.

    "keep": there and verified.  "check": there, but nothing is known to verify it by.  "fetch":
    not there.  "replace": there, but not the published file.  "refuse": there, but not the
    recorded file.  `detail`: one line.
    """

    name: str
    action: Action
    detail: str


def plan(request: DownloadRequest) -> tuple[PlannedFile, ...]:
    """What `download` would do.  No network; nothing is touched."""
    return tuple(_plan(request, _Wanted.of(request, file)) for file in request.files)


def download(request: DownloadRequest, listener: Listener | None = None) -> DownloadResult:
    """Have every file there, verified.

    Raises DownloadError naming every source's reason if none gave a file, IntegrityError if a
    file pin_mismatch from the recorded digest, WorkspaceError for a full disk and the like.  A good
    file is never lost, a bad one only replaced by a good one.
    """
    talk = listener or SilentListener()
    cancelled = threading.Event()
    wanted = [_Wanted.of(request, file) for file in request.files]
    if request.jobs == 1 or len(wanted) == 1:
        return DownloadResult(tuple(_obtain(request, item, talk, cancelled) for item in wanted))
    with ThreadPoolExecutor(request.jobs, "download") as pool:
        running = [pool.submit(_obtain, request, item, talk, cancelled) for item in wanted]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            if any(not one.done() or one.exception() for one in running):
                cancelled.set()  # no use going on without the one that failed
                pool.shutdown(wait=True, cancel_futures=True)
    failed = [one.exception() for one in running if not one.cancelled()]
    for error in failed:
        if error is not None and not isinstance(error, Cancelled):
            raise error
    return DownloadResult(tuple(one.result() for one in running))


@dataclass(frozen=True)
class _Wanted:
    """`file` with the recorded digest where none is published."""

    file: ModelFile
    target: Path
    verified_by: Verified

    @classmethod
    def of(cls, request: DownloadRequest, file: ModelFile) -> _Wanted:
        target = request.folder.joinpath(*file.name.split("/"))
        if file.digest is not None:
            return cls(file, target, "published")
        pin = dict(request.pins).get(file.name)
        if pin is not None:
            return cls(replace(file, digest=pin), target, "pinned")
        return cls(file, target, "nothing")

    def fetched(
        self, path: Path, size: int, digests: Digests, status: Status, source: str
    ) -> FetchedFile:
        return FetchedFile(
            self.file.name, path, size, digests[ALWAYS], source, status, self.verified_by
        )


def _plan(request: DownloadRequest, wanted: _Wanted) -> PlannedFile:
    name, target = wanted.file.name, wanted.target
    try:
        found, fault = _present(request, wanted)
    except IntegrityError as error:
        return PlannedFile(name, "refuse", error.message)
    if found is not None:
        if wanted.verified_by == "nothing":
            return PlannedFile(name, "check", f"{target} is there, not yet verified")
        return PlannedFile(name, "keep", f"{target} is there, {wanted.verified_by} digest verified")
    first = shown(wanted.file.sources[0]) if wanted.file.sources else "nowhere"
    if request.cache_dir is not None:
        entry = cache.entry_of(request.cache_dir, wanted.file.digest)
        first = str(entry) if entry is not None and entry.is_file() else first
    if fault:
        return PlannedFile(name, "replace", f"from {first}: {fault}")
    return PlannedFile(name, "fetch", f"{target} from {first}")


def _present(request: DownloadRequest, wanted: _Wanted) -> tuple[FetchedFile | None, str]:
    """The target if it is there and good; else None and what is wrong with it ("": not there).

    Raises IntegrityError if it is not the recorded file.
    """
    file, target = wanted.file, wanted.target
    if not target.exists():
        return None, ""
    with os_errors(target, "read"):
        size = target.stat().st_size
        if file.size is not None and size != file.size:
            return None, f"{target}: expected {file.size:,} bytes, found {size:,}"
        digests = digests_of(target, algorithms_for(file.digest))
    if file.digest is None or digests[file.digest.algorithm] == file.digest:
        return wanted.fetched(target, size, digests, "present", "already in the folder"), ""
    if wanted.verified_by == "pinned":
        raise pin_mismatch(request.folder, file.name, file.digest, digests[ALWAYS])
    algorithm = file.digest.algorithm
    return None, (
        f"{target}: expected {algorithm} {file.digest.value}, found {digests[algorithm].value}"
    )


def _obtain(
    request: DownloadRequest, wanted: _Wanted, listener: Listener, cancelled: threading.Event
) -> FetchedFile:
    found, _ = _present(request, wanted)
    if found is not None:
        return found  # without a lock: a target only ever changes as a whole
    try:
        with lock(wanted.target, 0.0):
            return _fetch(request, wanted, listener, cancelled)
    except WorkspaceError as error:
        if not isinstance(error.__cause__, TimeoutError):
            raise
        listener.note(f"{wanted.target}: another process is fetching it; waiting")
    with lock(wanted.target, request.lock_wait):
        return _fetch(request, wanted, listener, cancelled)


def _fetch(
    request: DownloadRequest, wanted: _Wanted, listener: Listener, cancelled: threading.Event
) -> FetchedFile:
    """Under the target's lock."""
    found, fault = _present(request, wanted)
    if found is not None:
        return found
    file, target = wanted.file, wanted.target
    if request.cache_dir is not None and cache.take(request.cache_dir, file.digest, target):
        listener.note(f"{file.name}: taken from the cache")
        digests = digests_of(target, algorithms_for(file.digest))
        return wanted.fetched(target, target.stat().st_size, digests, "cached", "the cache")
    failures: list[tuple[Source, SourceError]] = []
    for source in file.sources:
        try:
            return _fetch_from(source, request, wanted, listener, cancelled)
        except SourceError as error:  # noqa: PERF203 - a few sources, each with its reason
            failures.append((source, error))
            if len(failures) < len(file.sources):
                listener.note(f"{file.name}: {shown(source)}: {error.message}; trying the next one")
    for _, failure in failures:
        if wanted.verified_by == "pinned" and isinstance(failure, WrongDigestError):
            raise pin_mismatch(request.folder, file.name, failure.expected, failure.found)
    raise nobody_gave(file, target, failures, fault, request.otherwise)


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
        Partial(target, algorithms_for(file.digest)) as partial,
    ):
        digests = fetch_verified(source, file, partial, transport, task, cancelled)
        size = partial.size
        partial.finish(final)
    if request.cache_dir is not None and file.digest is not None:
        trouble = cache.keep(request.cache_dir, digests[ALWAYS], target)
        if trouble:
            listener.note(f"{file.name}: not kept in the cache: {trouble}")
    return wanted.fetched(final, size, digests, "fetched", shown(source))
