"""Run the sample of a package and compare the outputs with the expected ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.definitions.ports import INPUTS, OUTPUTS
from toolchain.errors import PackageFormatError
from toolchain.package.manifest import Manifest
from toolchain.runtimes.sample import compare_images, infer_images, load_image
from toolchain.stages.verify.request import SampleRun


def run_sample(folder: Path, manifest: Manifest, device: str) -> tuple[SampleRun, ...]:
    """Run the sample through every IR of a package.

    Args:
        folder: The folder of the unpacked package.
        manifest: Its manifest.
        device: Device by OpenVINO's name.

    Returns:
        One comparison per IR and output.

    Raises:
        PackageFormatError: The manifest describes no sample.
        ValidationError: An IR cannot be run.
    """
    sample = _read_sample(manifest)
    src, bgr = (load_image(folder / sample["inputs"][port]) for port in INPUTS)
    runs = []
    for row in sample["expected"]:
        found = infer_images(folder / row["ir"], src, bgr, device)
        for output, path in row["outputs"].items():
            compared = compare_images(found[output], load_image(folder / path))
            runs.append(
                SampleRun(
                    row["precision"], output, compared.different, row["different"], compared.mean
                )
            )
    return tuple(runs)


def _read_sample(manifest: Manifest) -> Mapping[str, Any]:
    """Read the description of the sample; all of its paths are files of the manifest."""
    sample: Any = manifest.facts.get("sample")
    try:
        rows = sample["expected"]
        paths = [sample["inputs"][port] for port in INPUTS]
        paths += [path for row in rows for path in (row["ir"], *row["outputs"].values())]
        complete = all(
            set(row["outputs"]) == set(OUTPUTS)
            and isinstance(row["different"], float)
            and isinstance(row["precision"], str)
            for row in rows
        )
        usable = bool(rows) and complete and set(paths) <= set(manifest.by_path())
    except (KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise PackageFormatError(
            f"{manifest.root}: its manifest describes no sample with expected outputs",
            hint="Verify it without --run, or ask for a package with a sample.",
        )
    assert isinstance(sample, Mapping)
    return sample
