"""`checkpoint.lock.json`: digests of files whose publisher gave none, recorded on first use.

It lies beside the files.  From its first entry on, a file of that name has to have the recorded
sha384, until the user accepts another one by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from toolchain.catalog.records import Digest
from toolchain.errors import IntegrityError
from toolchain.workspace.atomic import os_errors, write_json
from toolchain.workspace.locking import locked

FILE = "checkpoint.lock.json"
UNVERIFIED = ".unverified"


@dataclass(frozen=True)
class Pin:
    """`size`: bytes.  `source`: where the file was taken from when it was recorded."""

    digest: Digest
    size: int
    source: str


def read_pins(folder: Path) -> dict[str, Digest]:
    """The recorded sha384 of each file name; empty if nothing was recorded in `folder` yet.

    Raises IntegrityError if the record can't be understood: without it nothing is verified.
    """
    return {name: pin.digest for name, pin in _read(folder).items()}


def record_pin(
    folder: Path, name: str, digest: Digest, size: int, source: str, *, accept: bool = False
) -> None:
    """Record the sha384 of `name`, `size` bytes, that came from `source`.

    Raises IntegrityError if another one is recorded, unless `accept`; nothing is changed then.
    """
    with locked(folder / FILE):
        pins = _read(folder)
        known = pins.get(name)
        if known is not None and known.digest == digest:
            return
        if known is not None and not accept:
            raise differs(folder, name, known.digest, digest)
        pins[name] = Pin(digest, size, source)
        write_json(
            folder / FILE,
            {
                "about": "sha384 of files without a published digest, as first verified here",
                "files": {
                    entry: {"sha384": pin.digest.value, "size": pin.size, "source": pin.source}
                    for entry, pin in sorted(pins.items())
                },
            },
        )


def adopt(folder: Path, name: str) -> None:
    """Rename `<name>.unverified` to `name`, once its content was checked."""
    target = folder / name
    with os_errors(target, "write"):
        unverified_path(target).replace(target)


def unverified_path(target: Path) -> Path:
    """Where a file without any digest waits until its content was checked."""
    return target.with_name(target.name + UNVERIFIED)


def differs(folder: Path, name: str, recorded: Digest, found: Digest) -> IntegrityError:
    """The error for a file that is not the recorded one, with the way to accept it."""
    return IntegrityError(
        f"{folder / name}: not the file that was recorded in {FILE}: expected sha384 "
        f"{recorded.value}, found {found.value}",
        kept="Nothing was replaced; the new file was not used.",
        hint="If its publisher has changed the file and you trust the change, say "
        f"`--accept {name}`; otherwise remove it and fetch it again.",
    )


def _read(folder: Path) -> dict[str, Pin]:
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        return {
            str(name): Pin(Digest("sha384", pin["sha384"]), int(pin["size"]), str(pin["source"]))
            for name, pin in json.loads(text)["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: can't be read as a record of digests: {why}",
        kept="Nothing was changed, and no file was taken without its digest.",
        hint="Restore it, or remove it to record the digests of the files anew.",
    )
