"""Whether a file could be had at all, decided within a few seconds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.catalog.records import GoogleDriveSource, HttpSource, ModelFile, Source
from toolchain.errors import ToolchainError
from toolchain.transfer import answers
from toolchain.transfer.connection import Connection, Dropped, opened
from toolchain.transfer.google_drive import Asker
from toolchain.transfer.http import OK, PARTIAL_CONTENT
from toolchain.transfer.local import path_of
from toolchain.transfer.transport import Transport, shown


@dataclass(frozen=True)
class Reachability:
    """`reason`: which source answered, or why none did; one line."""

    ok: bool
    reason: str


def reachable(
    files: Sequence[ModelFile], timeout: float, transport: Transport | None = None
) -> Reachability:
    """Whether any source of the first file seems to have it.  Never raises.

    All sources are asked at once, for one byte.  `timeout`: seconds in all, name look-up and
    whatever else hangs included.
    """
    if not files or not files[0].sources:
        return Reachability(ok=False, reason="no source is known")
    file = files[0]
    base = transport or Transport()
    hurried = Transport(
        attempts=1, connect_timeout=timeout, read_timeout=timeout, drive_url=base.drive_url
    )
    answers_in: queue.Queue[tuple[Source, str]] = queue.Queue()

    def ask(source: Source) -> None:
        answers_in.put((source, _fault(source, file, hurried)))

    deadline = time.monotonic() + timeout
    for source in file.sources:
        # A look-up of a name can't be interrupted; a daemon does not keep the process waiting.
        threading.Thread(target=ask, args=(source,), name="probe", daemon=True).start()
    faults: dict[Source, str] = {}
    while len(faults) < len(file.sources):
        try:
            source, fault = answers_in.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if not fault:
            return Reachability(ok=True, reason=f"{shown(source)} answers")
        faults[source] = fault
    late = f"no answer within {timeout:g} s"
    reasons = [f"{shown(source)}: {faults.get(source, late)}" for source in file.sources]
    return Reachability(ok=False, reason="; ".join(reasons))


def _fault(source: Source, file: ModelFile, transport: Transport) -> str:
    try:
        if isinstance(source, HttpSource | GoogleDriveSource):
            with opened(transport) as connection:
                return _fault_of_answer(connection, source, file, transport)
        return "" if path_of(source).is_file() else "is not there"
    except (ToolchainError, Dropped) as error:
        return str(error)
    # Whatever a probe meets is an answer: no.  The build then goes on without this source.
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


def _fault_of_answer(
    connection: Connection,
    source: HttpSource | GoogleDriveSource,
    file: ModelFile,
    transport: Transport,
) -> str:
    def ask(connection: Connection, headers: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        if isinstance(source, HttpSource):
            return connection.get(source.url, headers)
        return Asker(source.id, transport.drive_url, file.name)(connection, headers)

    headers = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}
    with connection.receiving(ask, headers) as response:
        if response.status_code not in (OK, PARTIAL_CONTENT):
            return f"{response.status_code} {response.reason or ''}".rstrip()
        if answers.is_page(file.name, response.headers, b""):
            return "a web page came instead of the file"
    return ""
