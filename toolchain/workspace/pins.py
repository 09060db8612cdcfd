"""`checkpoint.lock.json`: digests of files without a published digest, recorded on first use.

It is in the folder of the files.  Once a file is recorded, only a file of this name with the same
sha384 is used, until the user accepts another one by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from toolchain.catalog.records import Digest
from toolchain.errors import IntegrityError
from toolchain.workspace.atomic import os_errors, write_json
from toolchain.workspace.locking import lock

FILE = "checkpoint.lock.json"
UNVERIFIED = ".unverified"


@dataclass(frozen=True)
class Pin:
    """One recorded file.

    Attributes:
        digest: Its sha384.
        size: Its size in bytes.
        source: The source that it was fetched from when it was recorded.
        rests_on: Published digest that verifies its content, and how; "" if there is none.
    """

    digest: Digest
    size: int
    source: str
    rests_on: str = ""


def read_pins(folder: Path) -> dict[str, Digest]:
    """Read the recorded sha384 digests by file name; empty if nothing is recorded in `folder`.

    Raises:
        IntegrityError: The record is unreadable.
    """
    return {name: pin.digest for name, pin in _read(folder).items()}


def read_pin(folder: Path, name: str) -> Pin | None:
    """Read what is recorded of a file; None if nothing is.

    Raises:
        IntegrityError: The record is unreadable.
    """
    return _read(folder).get(name)


def record_pin(folder: Path, name: str, pin: Pin, *, accept: bool = False) -> None:
    """Record the sha384 of a file, or on which published digest it rests if that is new.

    Args:
        folder: Folder of the file.
        name: Its name.
        pin: What to record.
        accept: Whether to replace another recorded digest.

    Raises:
        IntegrityError: Another digest is recorded and not to be replaced.
    """
    with lock(folder / FILE):
        pins = _read(folder)
        known = pins.get(name)
        if known is not None and known.digest == pin.digest:
            if pin.rests_on in ("", known.rests_on):
                return
            pin = replace(known, rests_on=pin.rests_on)
        elif known is not None and not accept:
            raise pin_mismatch(folder, name, known.digest, pin.digest)
        pins[name] = pin
        write_json(
            folder / FILE,
            {
                "about": "sha384 of files without a published digest, as first verified here",
                "files": {entry: _as_json(pin) for entry, pin in sorted(pins.items())},
            },
        )


def _as_json(pin: Pin) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "sha384": pin.digest.value,
        "size": pin.size,
        "source": pin.source,
    }
    return found | ({"rests_on": pin.rests_on} if pin.rests_on else {})


def adopt(folder: Path, name: str) -> None:
    """Rename `<name>.unverified` to `name`; call it after the content was checked."""
    target = folder / name
    with os_errors(target, "write"):
        unverified_path(target).replace(target)


def unverified_path(target: Path) -> Path:
    """Return the path of a fetched file without a digest until its content is checked."""
    return target.with_name(target.name + UNVERIFIED)


def pin_mismatch(folder: Path, name: str, recorded: Digest, found: Digest) -> IntegrityError:
    """Build the error for a file that differs from the recorded one."""
    return IntegrityError(
        f"{folder / name}: differs from the file recorded in {FILE}: expected sha384 "
        f"{recorded.value}, found {found.value}",
        kept="No file was replaced; the new file was not used.",
        hint="If the publisher changed the file and you trust the change, use "
        f"`--accept {name}`; otherwise remove the file and download it again.",
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
            str(name): Pin(
                Digest("sha384", pin["sha384"]),
                int(pin["size"]),
                str(pin["source"]),
                str(pin.get("rests_on", "")),
            )
            for name, pin in json.loads(text)["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: invalid record of digests: {why}",
        kept="No file was used without verification.",
        hint="Restore it, or remove it to record the digests again.",
    )
