"""Run the sample of a package in a process of its own, with limits on memory and time."""

from __future__ import annotations

from pathlib import Path

from toolchain.definitions.variants import DEFAULT_DEVICE
from toolchain.errors import PackageFormatError
from toolchain.package.manifest import Manifest
from toolchain.stages.verify.request import SampleRun
from toolchain.workspace.limited_process import LimitExceeded, run_limited

PROCESS = "toolchain.stages.verify.sample_process"
MEMORY_LIMIT = 8 << 30  # bytes of addresses, on the CPU; other devices map far more than they use
TIME_LIMIT = 900.0  # seconds


def run_sample(folder: Path, manifest: Manifest, device: str) -> tuple[SampleRun, ...]:
    """Run the sample through every IR of a package.

    Args:
        folder: The folder of the unpacked package.
        manifest: Its manifest.
        device: Device by OpenVINO's name.

    Returns:
        One comparison per IR and output.

    Raises:
        PackageFormatError: The manifest describes no sample, or an IR needs more than the limits.
        FrameError: An image of the sample is not a PNG with the expected channels.
        ValidationError: An IR cannot be run.
    """
    sample = manifest.facts.get("sample")
    rows = sample["expected"] if isinstance(sample, dict) else []
    if not rows or not all("different" in row for row in rows):
        raise PackageFormatError(
            f"{manifest.root}: its manifest describes no sample with expected outputs",
            hint="Verify it without --run, or request a package with a sample.",
        )
    work = {"folder": str(folder.absolute()), "sample": sample, "device": device}
    memory = MEMORY_LIMIT if device == DEFAULT_DEVICE else 0
    try:
        runs = run_limited(PROCESS, work, memory=memory, seconds=TIME_LIMIT)
    except LimitExceeded as limit:
        raise PackageFormatError(
            f"{manifest.root}: its sample cannot be run: {limit}",
            kept="Nothing was written.",
            hint="If this machine has enough free memory, do not use it; ask its publisher.",
        ) from limit
    return tuple(SampleRun(**row) for row in runs)
