"""Signatures in the OpenSSF model-signing format, by a key of one's own, without a network.

They cover every file of a bundle's folder, and are the same for the archive: they lie beside it
as `<archive>.sig`, in a folder as `model.sig`.  `model_signing sign key` and `verify key`, the
format's own commands, take them and give them.
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


def signature_of(bundle: Path, given: Path | None = None) -> Path:
    """Where the signature of an archive or a folder is looked for, unless it is `given`."""
    if given is not None:
        return given
    if bundle.is_dir():
        return bundle / SIGNATURE
    return bundle.with_name(bundle.name + SIGNATURE_SUFFIX)


def require_signing() -> Any:
    """The library.  Raises ToolchainError if it is not installed."""
    try:
        import model_signing
    except ImportError as error:
        raise ToolchainError(
            f"signing needs a package that is not installed: {error.name}",
            kept="Nothing was changed.",
            hint="pip install 'background-matting-toolchain[sign]'",
        ) from error
    return model_signing


def require_key(path: Path) -> None:
    """Raise UsageError, before any work, unless `path` is a private key that signs."""
    _signer(path)


def sign(folder: Path, key: Path, target: Path) -> None:
    """Sign every file of `folder` with the private `key` (PEM, NIST P-256, P-384 or P-521).

    What git keeps for itself is left out, as the format's own commands do unless told otherwise.
    The variable MATTING_SIGN_PASSWORD has the password of an encrypted key.  Raises UsageError for
    a key that can't be used, WorkspaceError if `target` can't be written.
    """
    library = require_signing()
    hashing = library.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=True)
    config = _signer(key).set_hashing_config(hashing)
    with os_errors(target, "sign"), tempfile.TemporaryDirectory(prefix="matting-sign-") as scratch:
        made = Path(scratch, SIGNATURE)  # not in the folder, whose files are signed
        config.sign(folder, made)
        data = made.read_bytes()
    write_bytes(target, data)


def verify(folder: Path, key: Path, signature: Path) -> None:
    """Raise SignatureError unless `signature` is by the owner of the public `key`, of this folder.

    The manifest has to be among what was signed; it answers for every other file.  The folder must
    have been held against its manifest before.  Raises UsageError for a key that can't be used.
    """
    library = require_signing()
    if not signature.is_file():
        raise SignatureError(
            f"{signature}: is not there: the bundle is not signed",
            kept="Nothing was written.",
            hint="Ask for the signature, or name it with --signature.",
        )
    try:
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # cryptography's own are many
        raise _bad_key(key, "public", error) from error
    try:
        with contextlib.redirect_stdout(sys.stderr):
            config.verify(folder, signature)
        covered = _covered(signature)
    except Exception as error:  # any reason not to trust it is one
        reason = str(error) or "the signature does not fit the key and the files"
        raise _not_signed(signature, key, reason) from error
    if FILE not in covered:
        raise _not_signed(signature, key, f"it does not cover {FILE}")


def _signer(key: Path) -> Any:
    library = require_signing()
    password = os.environ.get(PASSWORD)
    try:
        return library.signing.Config().use_elliptic_key_signer(
            private_key=key, password=password.encode() if password else None
        )
    except Exception as error:  # cryptography's own are many
        raise _bad_key(key, "private", error) from error


def _covered(signature: Path) -> set[str]:
    """The names in a signature that was found to be good."""
    bundle = json.loads(signature.read_text(encoding="utf-8"))
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    resources = (payload.get("predicate") or {}).get("resources") or payload["subject"]
    return {resource["name"] for resource in resources}


def _bad_key(path: Path, kind: str, error: Exception) -> UsageError:
    return UsageError(
        f"{path}: can't be used as a {kind} key: {(str(error) or 'it is none').splitlines()[0]}",
        kept="Nothing was written.",
        hint="A key is a PEM file of the curve P-256, P-384 or P-521: "
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem; "
        f"openssl pkey -in key.pem -pubout -out key.pub. The password stands in {PASSWORD}.",
    )


def _not_signed(signature: Path, key: Path, why: str) -> SignatureError:
    return SignatureError(
        f"{signature}: not a signature of this bundle by the owner of {key}: {why}",
        kept="Nothing was written.",
        hint="Do not trust this bundle; ask whoever made it.",
    )
