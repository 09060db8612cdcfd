"""Signatures in the OpenSSF model-signing format, with a private key and without a network.

A signature covers every file of a package's folder.  It is stored as `<archive>.sig` next to an
archive and as `model.sig` in a folder, with the same content.  The format's own commands,
`model_signing sign key` and `model_signing verify key`, can write and read it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from toolchain.errors import SignatureError, ToolchainError, UsageError
from toolchain.package.archive import SIGNATURE_SUFFIX
from toolchain.package.manifest import FILE, SIGNATURE, SIZE_LIMIT
from toolchain.printable import printable
from toolchain.workspace.atomic import os_errors, write_bytes
from toolchain.workspace.plain_file import check_plain_file, open_plain_file

REASON_LENGTH = 400  # characters of a library's message
PASSWORD = "MATTING_SIGN_PASSWORD"  # noqa: S105 - the name of a variable


def signature_path(package: Path, given: Path | None = None) -> Path:
    """Return where the signature of an archive or a folder is expected, unless it is `given`."""
    if given is not None:
        return given
    if package.is_dir():
        return package / SIGNATURE
    return package.with_name(package.name + SIGNATURE_SUFFIX)


def require_signing() -> Any:
    """Import the library.

    Returns:
        The module `model_signing`.

    Raises:
        ToolchainError: It is not installed.
    """
    try:
        import model_signing  # an optional dependency
    except ImportError as error:
        raise ToolchainError(
            f"signing needs a package that is not installed: {error.name}",
            kept="Nothing was signed or verified.",
            hint="pip install 'background-matting-toolchain[sign]'",
        ) from error
    return model_signing


def require_key(path: Path) -> None:
    """Check, before any work, that `path` is a private key for signing.

    Raises:
        UsageError: It is not.
    """
    _load_signer(path)


def sign_folder(folder: Path, key: Path, target: Path) -> None:
    """Sign every file of `folder`, except those that git keeps for itself.

    Args:
        folder: The folder.
        key: Private key (PEM, NIST P-256, P-384 or P-521).  The environment variable
            MATTING_SIGN_PASSWORD contains the password of an encrypted one.
        target: The signature.

    Raises:
        UsageError: The key cannot be used.
        WorkspaceError: `target` cannot be written.
    """
    library = require_signing()
    hashing = library.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=True)
    config = _load_signer(key).set_hashing_config(hashing)
    with os_errors(target, "sign"), tempfile.TemporaryDirectory(prefix="matting-sign-") as scratch:
        signature = Path(scratch, SIGNATURE)  # outside of the folder that is signed
        config.sign(folder, signature)
        data = signature.read_bytes()
    write_bytes(target, data)


def read_signature(path: Path) -> bytes:
    """Read a signature.

    Raises:
        SignatureError: It does not exist, cannot be read or is too large.
    """
    try:
        with open_plain_file(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError as error:
        raise SignatureError(
            f"{path}: file not found: the package is not signed",
            kept="Nothing was unpacked.",
            hint="Request the signature from the publisher, or name it with --signature.",
        ) from error
    except OSError as error:
        raise SignatureError(
            f"{path}: cannot read the signature: {error.strerror}", kept="Nothing was unpacked."
        ) from error
    if len(data) > SIZE_LIMIT:
        raise SignatureError(
            f"{path}: not a signature: larger than {SIZE_LIMIT:,} bytes",
            kept="Nothing was unpacked.",
        )
    return data


def verify_signature(folder: Path, key: Path, signature: Path) -> bytes:
    """Check that `signature` is by the owner of `key` and matches `folder`.

    It must cover the manifest, which has the digests of all other files; compare the folder with
    its manifest first.

    Args:
        folder: The folder of the unpacked package.
        key: Public key (PEM).
        signature: The signature.

    Returns:
        The content of the signature that was verified.

    Raises:
        SignatureError: The signature does not exist or is not valid.
        UsageError: The key cannot be used.
    """
    library = require_signing()
    data = read_signature(signature)
    try:
        check_plain_file(key)
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # cryptography raises many types
        raise _bad_key(key, "public", error) from error
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            tempfile.TemporaryDirectory(prefix="matting-verify-") as scratch,
        ):
            copy = Path(scratch, SIGNATURE)  # cannot change after the verification
            copy.write_bytes(data)
            config.verify(folder, copy)
        covered = _list_covered(data)
    except Exception as error:  # whatever the reason, it cannot be trusted
        text = str(error) or "the signature does not match the key and the files"
        reason = printable(text, REASON_LENGTH)
        raise _bad_signature(signature, key, reason) from error
    if FILE not in covered:
        raise _bad_signature(signature, key, f"it does not cover {FILE}")
    return data


def _load_signer(key: Path) -> Any:
    library = require_signing()
    password = os.environ.get(PASSWORD)
    try:
        check_plain_file(key)
        return library.signing.Config().use_elliptic_key_signer(
            private_key=key, password=password.encode() if password else None
        )
    except Exception as error:  # cryptography raises many types
        raise _bad_key(key, "private", error) from error


def _list_covered(signature: bytes) -> set[str]:
    """List the names of the files that a valid signature covers."""
    content = json.loads(signature)
    payload = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    resources = (payload.get("predicate") or {}).get("resources") or payload["subject"]
    return {resource["name"] for resource in resources}


def _bad_key(path: Path, kind: str, error: Exception) -> UsageError:
    reason = printable((str(error) or "not a key").splitlines()[0], REASON_LENGTH)
    return UsageError(
        f"{path}: cannot be used as a {kind} key: {reason}",
        kept="Nothing was signed or verified.",
        hint="A key is a PEM file of the curve P-256, P-384 or P-521: "
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem; "
        f"openssl pkey -in key.pem -pubout -out key.pub. Set {PASSWORD} to its password.",
    )


def _bad_signature(signature: Path, key: Path, reason: str) -> SignatureError:
    return SignatureError(
        f"{signature}: not a signature of this package by the owner of {key}: {reason}",
        kept="Nothing was unpacked.",
        hint="Do not use this package; contact its publisher.",
    )
