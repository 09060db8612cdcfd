"""What to verify, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.package.inspection import Findings


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify.

    Attributes:
        package: An archive, or the folder of an unpacked package.
        run: Whether to run its sample.
        device: Device to run it on, by OpenVINO's name.
        key: Public key of the expected signer; None: the signature is not checked.
        signature: The signature; None: next to the archive, or in the folder.
    """

    package: Path
    run: bool = False
    device: str = "CPU"
    key: Path | None = None
    signature: Path | None = None


@dataclass(frozen=True)
class SampleRun:
    """One output of one IR for the sample, compared with the expected one.

    Attributes:
        precision: Precision of the IR.
        output: Name of the output.
        different: Share of the values that differ by more than one step of 8 bits.
        allowed: Largest permitted share.
        mean: Mean difference in steps of 8 bits.
    """

    precision: str
    output: str
    different: float
    allowed: float
    mean: float

    @property
    def passed(self) -> bool:
        """Whether the share is permitted."""
        return self.different <= self.allowed


@dataclass(frozen=True)
class VerifyResult:
    """Result of a verification.

    Attributes:
        findings: Differences from the manifest.
        signed: True for a valid signature; None if it was not checked.
        runs: Outputs for the sample; empty if it was not run.
    """

    findings: Findings
    signed: bool | None
    runs: tuple[SampleRun, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return self.findings.intact and all(run.passed for run in self.runs)
