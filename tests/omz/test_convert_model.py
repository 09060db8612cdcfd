"""Conversion of downloaded files as by omz_converter: verified, converted, rounded."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino.preprocess import PrePostProcessor

from tests.support.weights import make_frames
from toolchain.catalog.reader import read_model
from toolchain.errors import (
    ConversionError,
    DownloadError,
    IntegrityError,
    ToolchainError,
    UsageError,
)
from toolchain.omz.convert_model import (
    ConvertModelRequest,
    convert_model,
    plan_conversion,
)
from toolchain.progress import SilentListener

NAME = "small-matting"
FILE = "pytorch_mobilenetv2.pth"
ONNX_CONFIG = """\
name: ready-made
description: d
task_type: background_matting
framework: onnx
license: https://example.org/LICENSE
files:
  - {{name: ready.onnx, size: {size}, checksum: {checksum}, source: https://example.org/ready.onnx}}
model_info: {{model_type: matting}}
model_optimizer_args:
  - --input_model=$dl_dir/ready.onnx
  - --input=src,bgr
  - --output=pha,fgr
  - --scale=255
  - --reverse_input_channels
input_info:
  - {{name: src, shape: [1, 3, 192, 320], layout: NCHW}}
  - {{name: bgr, shape: [1, 3, 192, 320], layout: NCHW}}
"""


@pytest.fixture(scope="module")
def converted(
    small_config: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> ConvertModelRequest:
    """The PyTorch model, downloaded to one tree and converted into another; do not change it."""
    root = tmp_path_factory.mktemp("converted")
    request = ConvertModelRequest(
        read_model(small_config), root / "downloads", root / "out", ("FP16", "FP32")
    )
    request.download_folder.mkdir(parents=True)
    shutil.copy(checkpoint, request.download_folder / FILE)
    assert convert(request) == ["export", "convert-FP16", "convert-FP32"]
    return request


@pytest.fixture(scope="module")
def ready(
    converted: ConvertModelRequest, tmp_path_factory: pytest.TempPathFactory
) -> ConvertModelRequest:
    """A model that is published as ONNX, converted in place; do not change it."""
    root = tmp_path_factory.mktemp("ready")
    data = converted.layout.onnx.read_bytes()
    config = root / "model.yml"
    checksum = hashlib.sha384(data).hexdigest()
    config.write_text(ONNX_CONFIG.format(size=len(data), checksum=checksum))
    request = ConvertModelRequest(read_model(config), root / "out", root / "out", ("FP16", "FP32"))
    request.download_folder.mkdir(parents=True)
    (request.download_folder / "ready.onnx").write_bytes(data)
    assert convert(request) == ["convert-FP16", "convert-FP32"]
    return request


@pytest.fixture
def copy(ready: ConvertModelRequest, tmp_path: Path) -> ConvertModelRequest:
    """A copy of the ready-made model for one test."""
    shutil.copytree(ready.output, tmp_path / "out")
    return replace(ready, downloads=tmp_path / "out", output=tmp_path / "out")


def convert(request: ConvertModelRequest) -> list[str]:
    """The steps that ran, after a plan that had the same steps and changed nothing."""
    before = listing(request.output)
    planned = plan_conversion(request)
    assert listing(request.output) == before
    outcomes = convert_model(request, SilentListener())
    found = [outcome.entry for outcome in outcomes if outcome.ran]
    assert [item.entry for item in planned if item.runs] == found
    assert [item.target for item in planned] == [outcome.files[0] for outcome in outcomes]
    return found


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def outputs(model: Any, feed: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(feed)
    return [np.array(found[name]) for name in ("pha", "fgr")]


def test_files_have_the_layout_of_open_model_zoo(converted: ConvertModelRequest) -> None:
    """ONNX and IR are below the output folder, only the checkpoint below the other one."""
    folder = converted.output / "public" / NAME
    visible = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    }
    pairs = {f"{p}/{NAME}.{s}" for p in ("FP16", "FP32") for s in ("xml", "bin")}
    assert visible == {f"{NAME}.onnx", *pairs}
    downloads = {p.name for p in converted.download_folder.iterdir() if p.name[0] != "."}
    assert downloads == {FILE, "checkpoint.lock.json"}


def test_a_second_conversion_changes_nothing(converted: ConvertModelRequest) -> None:
    """Without a change nothing runs, and no file is written."""
    before = listing(converted.output)
    assert convert(converted) == []
    assert listing(converted.output) == before


@pytest.mark.parametrize("which", ["converted", "ready"])
def test_outputs_are_those_of_openvino_s_own_conversion(
    which: str, request: pytest.FixtureRequest, converted: ConvertModelRequest
) -> None:
    """Bit-identical at f32: convert_model, channels reversed, divided by 255."""
    asked: ConvertModelRequest = request.getfixturevalue(which)
    plain = openvino.convert_model(converted.layout.onnx)
    steps = PrePostProcessor(plain)
    for name in ("src", "bgr"):
        steps.input(name).tensor().set_layout(openvino.Layout("NCHW"))
        steps.input(name).model().set_layout(openvino.Layout("NCHW"))
        steps.input(name).preprocess().reverse_channels().scale(255.0)
    feed = {
        name: np.ascontiguousarray(frame.numpy()[:, ::-1] * 255)
        for name, frame in zip(("src", "bgr"), make_frames(8, 320, 192), strict=True)
    }
    expected = outputs(steps.build(), feed)
    found = outputs(asked.layout.ir("FP32"), feed)
    for one, other in zip(expected, found, strict=True):
        assert (one == other).all()
    assert 0.1 < expected[0].mean() < 0.9


def test_fp16_rounds_every_weight(ready: ConvertModelRequest) -> None:
    """As in Open Model Zoo, the FP16 IR has half the size; no layer is excepted."""
    full, half = (
        ready.layout.ir(precision).with_suffix(".bin").stat().st_size
        for precision in ("FP32", "FP16")
    )
    assert half < 0.505 * full


def test_the_ir_records_its_source(ready: ConvertModelRequest) -> None:
    """rt_info has the digest of the file, the colour order, and model_info of model.yml."""
    model = openvino.Core().read_model(ready.layout.ir("FP16"))
    recorded = {
        key: model.get_rt_info(["matting", key]).astype(str)
        for key in ("model", "source", "source_sha384", "input_colour_order", "input_range")
    }
    digest = hashlib.sha384((ready.download_folder / "ready.onnx").read_bytes()).hexdigest()
    assert recorded == {
        "model": "ready-made",
        "source": "ready.onnx",
        "source_sha384": digest,
        "input_colour_order": "BGR",
        "input_range": "0..255",
    }
    assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "matting"


def test_only_a_deleted_file_is_made_again(
    ready: ConvertModelRequest, copy: ConvertModelRequest
) -> None:
    """The other precision is not converted again, and the bytes are the same."""
    deleted = copy.layout.ir("FP16").with_suffix(".bin")
    good = deleted.read_bytes()
    deleted.unlink()
    assert convert(copy) == ["convert-FP16"]
    assert deleted.read_bytes() == good
    assert ready.layout.ir("FP16").read_bytes() == copy.layout.ir("FP16").read_bytes()


def test_only_a_deleted_onnx_is_exported_again(
    converted: ConvertModelRequest, tmp_path: Path
) -> None:
    """The same checkpoint gives the same ONNX, so the IR stays up to date."""
    shutil.copytree(converted.output, tmp_path / "out")
    request = replace(converted, output=tmp_path / "out")
    request.layout.onnx.unlink()
    assert convert(request) == ["export"]
    assert request.layout.onnx.read_bytes() == converted.layout.onnx.read_bytes()


@pytest.mark.parametrize(
    ("argument", "ports"),
    [
        ("--output=fgr", ["src", "bgr", "fgr"]),
        ("--output fgr,pha", ["src", "bgr", "fgr", "pha"]),
    ],
)
def test_an_added_argument_has_priority_over_model_yml(
    argument: str, ports: list[str], copy: ConvertModelRequest
) -> None:
    """--add_mo_arg changes the result, which is converted again only once."""
    changed = replace(copy, arguments=(argument,), precisions=("FP32",))
    assert convert(changed) == ["convert-FP32"]
    assert convert(changed) == []
    model = openvino.Core().read_model(copy.layout.ir("FP32"))
    assert [port.get_any_name() for port in (*model.inputs, *model.outputs)] == ports


def test_an_added_rounding_and_name_have_priority(copy: ConvertModelRequest) -> None:
    """--compress_to_fp16 rounds in the FP32 folder too; --model_name names the files."""
    changed = replace(
        copy, arguments=("--compress_to_fp16=True", "--model_name=other"), precisions=("FP32",)
    )
    assert convert(changed) == ["convert-FP32"]
    folder = copy.layout.folder / "FP32"
    sizes = [(folder / f"{name}.bin").stat().st_size for name in ("other", "ready-made")]
    assert sizes[0] < 0.505 * sizes[1]


def test_an_argument_that_cannot_be_translated_is_an_error(copy: ConvertModelRequest) -> None:
    """It is a UsageError before anything is read or written."""
    before = listing(copy.output)
    for work in (plan_conversion, lambda request: convert_model(request, SilentListener())):
        with pytest.raises(UsageError, match="--transform"):
            work(replace(copy, arguments=("--transform=LowLatency2",)))
    assert listing(copy.output) == before


def test_a_damaged_download_is_refused(copy: ConvertModelRequest) -> None:
    """A file that is not the published one is not converted; the existing IR stays."""
    source = copy.download_folder / "ready.onnx"
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 1
    source.write_bytes(data)
    before = {path: path.read_bytes() for path in copy.layout.folder.rglob("*.bin")}
    with pytest.raises(IntegrityError, match="expected sha384"):
        convert_model(copy, SilentListener())
    assert before == {path: path.read_bytes() for path in copy.layout.folder.rglob("*.bin")}


def test_a_changed_checkpoint_is_refused(converted: ConvertModelRequest, tmp_path: Path) -> None:
    """The digest that was recorded at the first use is valid for the converter too."""
    shutil.copytree(converted.downloads, tmp_path / "downloads")
    request = replace(converted, downloads=tmp_path / "downloads")
    with (request.download_folder / FILE).open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(DownloadError, match=r"checkpoint\.lock\.json"):
        convert_model(request, SilentListener())


def test_a_missing_download_shows_the_command(ready: ConvertModelRequest, tmp_path: Path) -> None:
    """Plan and conversion show the file and the command that downloads it."""
    request = replace(ready, downloads=tmp_path / "none", output=tmp_path / "out")
    for work in (plan_conversion, lambda request: convert_model(request, SilentListener())):
        with pytest.raises(ToolchainError, match=r"file not found: ready\.onnx") as error:
            work(request)
        assert f"omz_downloader --name ready-made -o {tmp_path / 'none'}" in error.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("framework", ["tf", "dldt"])
def test_another_framework_is_refused(framework: Any, ready: ConvertModelRequest) -> None:
    """The error names the tool that converts it."""
    model = replace(ready.model, framework=framework)
    with pytest.raises(ConversionError, match=f"framework {framework} is not supported") as error:
        convert_model(replace(ready, model=model), SilentListener())
    assert "ovc" in error.value.hint


def test_a_validation_of_other_files_is_removed(copy: ConvertModelRequest) -> None:
    """A validation.json of `matting` is removed when the IR is made again."""
    copy.layout.validation.write_text("{}")
    assert convert(copy) == []
    assert copy.layout.validation.exists()
    copy.layout.ir("FP32").unlink()
    assert convert(copy) == ["convert-FP32"]
    assert not copy.layout.validation.exists()
