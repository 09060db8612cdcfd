"""Verify a package: its files, then its signature and its sample on request."""

from __future__ import annotations

import tempfile
from pathlib import Path

from toolchain.package.extract import extract
from toolchain.package.inspection import inspect_package, require_intact
from toolchain.package.signing import require_signing, signature_path, verify_signature
from toolchain.progress import Listener, SilentListener
from toolchain.stages.verify.request import SampleRun, VerifyRequest, VerifyResult


def verify(request: VerifyRequest, listener: Listener | None = None) -> VerifyResult:
    """Compare a package with its manifest; check its signature and run its sample on request.

    A package that differs from its manifest is not run.

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
        found = inspect_package(request.package)
        task.reach(1)
        if not found.intact or not (request.run or request.key):
            return VerifyResult(found, None, ())
        with tempfile.TemporaryDirectory(prefix="matting-verify-") as scratch:
            folder = request.package
            if not folder.is_dir():
                folder = Path(scratch, found.manifest.root)
                require_intact(request.package, extract(request.package, folder))
            if request.key is not None:
                signature = signature_path(request.package, request.signature)
                verify_signature(folder, request.key, signature)
            runs: tuple[SampleRun, ...] = ()
            if request.run:
                from toolchain.stages.verify.sample import run_sample  # loads OpenVINO

                runs = run_sample(folder, found.manifest, request.device)
            task.reach(1 + request.run)
    return VerifyResult(found, None if request.key is None else True, runs)
