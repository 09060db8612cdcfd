"""The error for a file that no source gave: every reason, and every way out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolchain.catalog.records import GoogleDriveSource, HttpSource, ModelFile, Source
from toolchain.errors import DownloadError, IntegrityError, SourceError
from toolchain.transfer.partial import partial_path
from toolchain.transfer.transport import DRIVE_URL, shown

Failures = Sequence[tuple[Source, SourceError]]


def nobody_gave(
    file: ModelFile, target: Path, failures: Failures, fault: str, otherwise: str
) -> DownloadError:
    """The error, with the URLs, the path for a file fetched by hand, and `otherwise`.

    `fault`: what is wrong with the file at `target`, "" if there is none.
    """
    place = target.absolute()
    hint = f"Put the file there by hand as {place}: it is verified and used."
    if addresses := [address for source, _ in failures if (address := address_of(source))]:
        hint = (
            f"To fetch it by hand: get {' or '.join(addresses)} and save it as {place}; it is "
            "verified there and used."
        )
    if otherwise:
        hint += f"\n{otherwise}"
    kept = ""
    if fault:
        kept = "The file that is there was left as it is, and is not used."
    elif _size(partial_path(target)):
        kept = "What arrived is kept, and the next run goes on from there."
    if not failures and fault:
        return IntegrityError(fault, kept=kept, hint=hint)
    if not failures:
        return DownloadError(f"{place}: is not there", hint=hint)
    reasons = [f"  {shown(source)}: {error.message}" for source, error in failures]
    head = f"{file.name}: no source gave the file"
    if fault:
        head += f", and the one that is there is not it ({fault})"
    return DownloadError("\n".join([head, *reasons]), kept=kept, hint=hint)


def address_of(source: Source) -> str:
    """What a person would type into a browser; "" for a source that is no web address."""
    if isinstance(source, HttpSource):
        return shown(source)
    if isinstance(source, GoogleDriveSource):
        return f"{DRIVE_URL}?export=download&id={source.id}"
    return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
