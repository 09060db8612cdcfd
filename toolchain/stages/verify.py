"""Verify: a bundle against its manifest, its signature, and what its sample should give."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.definitions.ports import OUTPUTS
from toolchain.errors import BundleError
from toolchain.package.examine import Findings, examine, require_whole
from toolchain.package.extract import extract
from toolchain.package.manifest import Manifest
from toolchain.package.signing import require_signing, signature_of
from toolchain.package.signing import verify as verify_signature
from toolchain.progress import Listener, SilentListener

PORTS = ("src", "bgr")


@dataclass(frozen=True)
class VerifyRequest:
    """`bundle`: an archive or a folder.  `run`: whether its sample is run, on `device`.

    `key`: a public key that it must be signed for, None: not asked.  `signature`: where it lies, if
    not beside the archive or in the folder.
    """

    bundle: Path
    run: bool = False
    device: str = "CPU"
    key: Path | None = None
    signature: Path | None = None


@dataclass(frozen=True)
class SampleRun:
    """One output of one IR: share of `different` values, `allowed` share, `mean` in 8-bit steps."""

    precision: str
    output: str
    different: float
    allowed: float
    mean: float

    @property
    def passed(self) -> bool:
        """Whether no more differs than is allowed."""
        return self.different <= self.allowed


@dataclass(frozen=True)
class VerifyResult:
    """`signed`: None where nobody asked.  `runs`: empty unless asked for."""

    findings: Findings
    signed: bool | None
    runs: tuple[SampleRun, ...]

    @property
    def passed(self) -> bool:
        """Whether everything that was asked for holds."""
        return self.findings.whole and all(run.passed for run in self.runs)


def verify(request: VerifyRequest, listener: Listener | None = None) -> VerifyResult:
    """Read every byte and compare; then the signature, then the sample, if asked for.

    Differences from the manifest and of the sample are findings, and after the first kind nothing
    is run.  Raises BundleError for what can't be trusted to be read, SignatureError for a signature
    that is not there or not good, ValidationError for an IR that can't be run.
    """
    if request.key is not None:
        require_signing()
    talk = listener or SilentListener()
    with talk.task("Verifying", 1 + request.run, "steps") as task:
        found = examine(request.bundle)
        task.reach(1)
        if not found.whole or not (request.run or request.key):
            return VerifyResult(found, None, ())
        with tempfile.TemporaryDirectory(prefix="matting-verify-") as scratch:
            folder = request.bundle
            if not folder.is_dir():
                folder = Path(scratch, found.manifest.root)
                require_whole(request.bundle, extract(request.bundle, folder))
            if request.key is not None:
                verify_signature(
                    folder, request.key, signature_of(request.bundle, request.signature)
                )
            runs = _runs(folder, found.manifest, request.device) if request.run else ()
            task.reach(1 + request.run)
    return VerifyResult(found, None if request.key is None else True, runs)


def _runs(folder: Path, manifest: Manifest, device: str) -> tuple[SampleRun, ...]:
    from toolchain.runtimes.sample import agreement, load_picture, outputs_of

    sample = _sample(manifest)
    src, bgr = (load_picture(folder / sample["inputs"][port]) for port in PORTS)
    runs = []
    for row in sample["expected"]:
        found = outputs_of(folder / row["ir"], src, bgr, device)
        for output, path in row["outputs"].items():
            told = agreement(found[output], load_picture(folder / path))
            runs.append(
                SampleRun(row["precision"], output, told.different, row["different"], told.mean)
            )
    return tuple(runs)


def _sample(manifest: Manifest) -> Mapping[str, Any]:
    """The sample's facts, its paths being files of the manifest."""
    sample: Any = manifest.facts.get("sample")
    try:
        rows = sample["expected"]
        paths = [sample["inputs"][port] for port in PORTS]
        paths += [path for row in rows for path in (row["ir"], *row["outputs"].values())]
        told = all(
            set(row["outputs"]) == set(OUTPUTS)
            and isinstance(row["different"], float)
            and isinstance(row["precision"], str)
            for row in rows
        )
        usable = bool(rows) and told and set(paths) <= set(manifest.by_path())
    except (KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise BundleError(
            f"{manifest.root}: its manifest tells of no sample with the output to expect",
            hint="Verify it without --run, or ask for a bundle that has one.",
        )
    assert isinstance(sample, Mapping)
    return sample
