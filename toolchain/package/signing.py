"""Signatures in the OpenSSF model-signing format, with a private key and without a network.

A signature covers every file of a package's folder.  It is stored as `<archive>.sig` beside an
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
from toolchain.package.manifest import FILE, SIGNATURE
from toolchain.workspace.atomic import os_errors, write_bytes

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
            kept="Nothing was changed.",
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


def verify_signature(folder: Path, key: Path, signature: Path) -> None:
    """Check that `signature` is by the owner of `key` and matches `folder`.

    It must cover the manifest, which has the digests of all other files; compare the folder with
    its manifest first.

    Args:
        folder: The folder of the unpacked package.
        key: Public key (PEM).
        signature: The signature.

    Raises:
        SignatureError: The signature does not exist or is not valid.
        UsageError: The key cannot be used.
    """
    library = require_signing()
    if not signature.is_file():
        raise SignatureError(
            f"{signature}: file not found: the package is not signed",
            kept="Nothing was written.",
            hint="Ask for the signature, or name it with --signature.",
        )
    try:
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # cryptography raises many types
        raise _bad_key(key, "public", error) from error
    try:
        with contextlib.redirect_stdout(sys.stderr):
            config.verify(folder, signature)
        covered = _list_covered(signature)
    except Exception as error:  # whatever the reason, it cannot be trusted
        reason = str(error) or "the signature does not match the key and the files"
        raise _bad_signature(signature, key, reason) from error
    if FILE not in covered:
        raise _bad_signature(signature, key, f"it does not cover {FILE}")


def _load_signer(key: Path) -> Any:
    library = require_signing()
    password = os.environ.get(PASSWORD)
    try:
        return library.signing.Config().use_elliptic_key_signer(
            private_key=key, password=password.encode() if password else None
        )
    except Exception as error:  # cryptography raises many types
        raise _bad_key(key, "private", error) from error


def _list_covered(signature: Path) -> set[str]:
    """List the names of the files that a valid signature covers."""
    content = json.loads(signature.read_text(encoding="utf-8"))
    payload = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    resources = (payload.get("predicate") or {}).get("resources") or payload["subject"]
    return {resource["name"] for resource in resources}


def _bad_key(path: Path, kind: str, error: Exception) -> UsageError:
    reason = (str(error) or "not a key").splitlines()[0]
    return UsageError(
        f"{path}: cannot be used as a {kind} key: {reason}",
        kept="Nothing was written.",
        hint="A key is a PEM file of the curve P-256, P-384 or P-521: "
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem; "
        f"openssl pkey -in key.pem -pubout -out key.pub. Set {PASSWORD} to its password.",
    )


def _bad_signature(signature: Path, key: Path, reason: str) -> SignatureError:
    return SignatureError(
        f"{signature}: not a signature of this package by the owner of {key}: {reason}",
        kept="Nothing was written.",
        hint="Do not trust this package; ask its publisher.",
    )
