"""Check within a few seconds whether a file can be downloaded."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.catalog.records import GoogleDriveSource, HttpSource, ModelFile, Source
from toolchain.errors import ToolchainError
from toolchain.printable import printable
from toolchain.transfer import responses
from toolchain.transfer.connection import LONGEST_CAUSE, ConnectionFailure, connect
from toolchain.transfer.sources import build_request, local_path
from toolchain.transfer.transport import Transport, display_name


@dataclass(frozen=True)
class Reachability:
    """Result of a probe.

    Attributes:
        ok: Whether a source has the file.
        reason: Which source answered, or why none did; one line.
    """

    ok: bool
    reason: str


def probe(
    files: Sequence[ModelFile], timeout: float, transport: Transport | None = None
) -> Reachability:
    """Check whether any source of the first file seems to have it.  Never raises.

    All sources are asked for one byte at the same time.

    Args:
        files: Only the first one is checked.
        timeout: Seconds in total, including name resolution.
        transport: Another address of Google Drive, in tests.
    """
    if not files or not files[0].sources:
        return Reachability(ok=False, reason="no source is known")
    file = files[0]
    base = transport or Transport()
    hurried = Transport(
        attempts=1, connect_timeout=timeout, read_timeout=timeout, drive_url=base.drive_url
    )
    results: queue.Queue[tuple[Source, str]] = queue.Queue()

    def check(source: Source) -> None:
        results.put((source, _find_fault(source, file, hurried)))

    deadline = time.monotonic() + timeout
    for source in file.sources:
        # Name resolution cannot be interrupted; the process need not wait for a daemon thread.
        threading.Thread(target=check, args=(source,), name="probe", daemon=True).start()
    faults: dict[Source, str] = {}
    while len(faults) < len(file.sources):
        try:
            source, fault = results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if not fault:
            return Reachability(ok=True, reason=f"{display_name(source)} answers")
        faults[source] = fault
    late = f"no answer within {timeout:g} s"
    reasons = [f"{display_name(source)}: {faults.get(source, late)}" for source in file.sources]
    return Reachability(ok=False, reason="; ".join(reasons))


def _find_fault(source: Source, file: ModelFile, transport: Transport) -> str:
    try:
        if isinstance(source, HttpSource | GoogleDriveSource):
            return _find_fault_of_response(source, file, transport)
        return "" if local_path(source).is_file() else "not found"
    except (ToolchainError, ConnectionFailure) as error:
        return str(error)
    # Any other error also means that the source cannot be used; the build goes on without it.
    except Exception as error:  # noqa: BLE001
        return printable(f"{type(error).__name__}: {error}", LONGEST_CAUSE)


def _find_fault_of_response(
    source: HttpSource | GoogleDriveSource, file: ModelFile, transport: Transport
) -> str:
    headers = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}
    with (
        connect(transport) as connection,
        connection.open(build_request(source, file, transport), headers) as response,
    ):
        if response.status_code not in (responses.OK, responses.PARTIAL_CONTENT):
            return printable(f"{response.status_code} {response.reason or ''}".rstrip())
        if responses.is_page(file.name, response.headers, b""):
            return "received a web page instead of the file"
    return ""
