"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolchain.stages.validate.request import ValidateRequest

# Test processes run side by side: threads of their own would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.support.downloads"]
SAMPLES = Path(__file__).parents[2] / "shared" / "samples"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of this network with plausible random weights; not to be changed."""
    from tests.support.weights import save_checkpoint

    return save_checkpoint(tmp_path_factory.mktemp("weights") / "plausible.pth")


@pytest.fixture(scope="session")
def small_build(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ValidateRequest:
    """A good export of it and both IRs, under the limits of the built-in model; not to be changed.

    Its verdict may be written.
    """
    from tests.support.builds import build_small

    return build_small(checkpoint, tmp_path_factory.mktemp("small"))


SMALL_CONFIG = """\
name: small-matting
description: The network at a size that tests can afford
task_type: background_matting
framework: pytorch
license: https://example.org/LICENSE
files:
  - name: pytorch_mobilenetv2.pth
    source: {source}
input_info:
  - {{name: src, shape: [1, 3, 192, 320], layout: NCHW}}
  - {{name: bgr, shape: [1, 3, 192, 320], layout: NCHW}}
conversion_to_onnx_args:
  - --backbone-scale=0.25
  - --refine-mode=sampling
  - --refine-sample-pixels=8000
model_optimizer_args:
  - --output=pha,fgr
  - --scale=255
  - --reverse_input_channels
"""


@pytest.fixture(scope="session")
def small_config(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """A model.yml of this network at 320x192 whose checkpoint is the plausible one, by `file:`."""
    path = tmp_path_factory.mktemp("config") / "model.yml"
    path.write_text(SMALL_CONFIG.format(source=checkpoint.as_uri()))
    return path


LOOSE_LIMITS = "tolerances:\n" + "".join(
    f"  - {{form: {form}, hint: {hint}, pha_max_abs: {limit}, reason: for tests}}\n"
    for form, hint, limit in (
        ("ONNX", "f32", 2.0e-5),
        ("FP32", "f32", 2.0e-5),
        ("FP32", "default", 0.5),
        ("FP16", "f32", 0.5),
        ("FP16", "default", 0.5),
    )
)


@pytest.fixture(scope="session")
def validated(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small validated build, without a report; not to be changed."""
    from toolchain.catalog.reader import read_model
    from toolchain.pipeline.build import build
    from toolchain.pipeline.request import BuildRequest
    from toolchain.pipeline.weights import choose_weights

    folder = tmp_path_factory.mktemp("validated")
    config = folder / "model.yml"
    config.write_text(small_config.read_text() + LOOSE_LIMITS)
    model = read_model(config)
    request = BuildRequest(
        model,
        choose_weights(model, "upstream", folder / "out"),
        folder / "out",
        stages=("download", "export", "convert", "validate"),
        composites=2,
    )
    build(request)
    return request.layout.folder


@pytest.fixture(scope="session")
def converted(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a small build that ends with its IRs; not to be changed."""
    from toolchain.catalog.reader import read_model
    from toolchain.pipeline.build import build
    from toolchain.pipeline.request import BuildRequest
    from toolchain.pipeline.weights import choose_weights

    output = tmp_path_factory.mktemp("converted")
    model = read_model(small_config)
    stages = ("download", "export", "convert")
    build(BuildRequest(model, choose_weights(model, "upstream", output), output, stages=stages))
    return output


@pytest.fixture(scope="session")
def reported(validated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small build that may be packaged: validated and reported on.

    Its model.yml is three folders above it.  Not to be changed.
    """
    import shutil

    from toolchain.cli.main import main

    place = tmp_path_factory.mktemp("reported")
    shutil.copytree(validated.parents[2], place, dirs_exist_ok=True)
    config, output = str(place / "model.yml"), str(place / "out")
    assert main(["report", "--config", config, "-o", output, "--frames", "1", "-q"]) == 0
    return place / "out" / "public" / validated.name


@pytest.fixture(scope="session")
def packaged(reported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of that build, version 1.2; not to be changed."""
    from toolchain.cli.main import main

    place, target = reported.parents[2], tmp_path_factory.mktemp("packaged")
    options = ["--config", str(place / "model.yml"), "-o", str(place / "out"), "-q"]
    assert main(["package", *options, "--to", str(target), "--version", "1.2"]) == 0
    return target / f"{reported.name}-1.2.tar.gz"


@pytest.fixture(scope="session")
def real_frames() -> Path:
    """A folder of real frames and plates; the test is skipped where there is none."""
    folder = SAMPLES / "capture"
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}")
    return folder
