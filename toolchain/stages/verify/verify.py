"""Verify a package: its files, then its signature and its sample on request."""

from __future__ import annotations

import tempfile
from pathlib import Path

from toolchain.package.extract import extract
from toolchain.package.inspection import inspect_package
from toolchain.package.signing import require_signing, signature_path, verify_signature
from toolchain.progress import Listener, SilentListener
from toolchain.stages.verify.request import VerifyRequest, VerifyResult
from toolchain.stages.verify.sample import run_sample
from toolchain.workspace.unpacking import staging_folder


def verify(request: VerifyRequest, listener: Listener | None = None) -> VerifyResult:
    """Compare a package with its manifest; check its signature and run its sample on request.

    A package that differs from its manifest is not run.  Signature and sample are checked on a
    private copy, so that the files cannot change between the checks.

    Args:
        request: What to verify.
        listener: Receiver of progress reports.

    Returns:
        The differences from the manifest and the results of the sample.

    Raises:
        PackageFormatError: The package is damaged or unsafe, or has no sample to run.
        SignatureError: The signature does not exist or is not valid.
        ValidationError: An IR cannot be run.
    """
    if request.key is not None:
        require_signing()
    with (listener or SilentListener()).task("Verifying", 1 + request.run, "steps") as task:
        if not (request.run or request.key):
            found = inspect_package(request.package)
            task.reach(1)
            return VerifyResult(found, None, ())
        with staging_folder(Path(tempfile.gettempdir(), "matting-verify")) as staging:
            folder = staging / "package"
            found = extract(request.package, folder)
            task.reach(1)
            if not found.intact:
                return VerifyResult(found, None, ())
            if request.key is not None:
                signature = signature_path(request.package, request.signature)
                verify_signature(folder, request.key, signature)
            runs = run_sample(folder, found.manifest, request.device) if request.run else ()
            task.reach(1 + request.run)
    return VerifyResult(found, None if request.key is None else True, runs)
