"""What to download, and the records of what was or would be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolchain.catalog.records import Digest, ModelFile
from toolchain.transfer.transport import Transport
from toolchain.workspace.locking import DEFAULT_WAIT

Status = Literal["fetched", "present", "cached"]
Verified = Literal["published", "pinned", "nothing"]
Action = Literal["keep", "check", "fetch", "replace", "refuse"]


@dataclass(frozen=True)
class DownloadRequest:
    """Files to place in a folder.

    Attributes:
        files: The files.  One without sources is only verified, or copied from the cache.
        folder: Where they go.
        pins: Recorded sha384 by name, of files without a published digest.
        cache_dir: Folder of the cache, None for no cache.
        attempts: Requests per source.
        jobs: Files at a time.
        alternative: What the user can do if no source provides a file, for the error.
        transport: Timeouts and delays.
        lock_wait: Seconds to wait for another process that downloads the same file.
    """

    files: tuple[ModelFile, ...]
    folder: Path
    pins: tuple[tuple[str, Digest], ...] = ()
    cache_dir: Path | None = None
    attempts: int = 4
    jobs: int = 1
    alternative: str = ""
    transport: Transport = field(default_factory=Transport)
    lock_wait: float = DEFAULT_WAIT


@dataclass(frozen=True)
class FetchedFile:
    """One file in the folder.

    Attributes:
        name: Its name in the request.
        path: Its path: the target, or `<name>.unverified` in the same folder for a file that was
            fetched and has no digest to verify it.
        size: Its size in bytes.
        digest: Its sha384.
        source: Where it comes from.
        status: Whether it was fetched, present before, or copied from the cache.
        verified_by: Kind of digest that it matches.
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
    """Result of a download.

    Attributes:
        files: The files, in the order of the request.
    """

    files: tuple[FetchedFile, ...]


@dataclass(frozen=True)
class PlannedFile:
    """What a download would do with a file.

    Attributes:
        name: Its name in the request.
        action: "keep": present and verified.  "check": present, but no digest is known.  "fetch":
            not present.  "replace": present, but not the published file.  "refuse": present, but
            not the recorded file.
        detail: One line.
    """

    name: str
    action: Action
    detail: str
